"""What a job runs: a Python callable of the registry, a command, an HTTP request, a message over NATS."""
