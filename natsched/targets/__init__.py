"""What a job runs. For now: a Python callable of the registry."""
