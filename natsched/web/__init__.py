"""HTTP on a replica: probes, metrics and a JSON API. Nothing that schedules knows of it."""
