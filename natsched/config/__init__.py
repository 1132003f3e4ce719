"""The configuration: settings from TOML, environment and flags, and jobs from a file."""

from natsched.config.connection import Nats, Tls
from natsched.config.durations import Duration, format_duration, parse_duration
from natsched.config.jobs import FileOfJobs, load_file, load_jobs, read_job, read_jobs, sample_jobs
from natsched.config.loading import load
from natsched.config.problems import Problem
from natsched.config.render import init, reference, show
from natsched.config.settings import History, Logs, PublishRetry, Queue, Replica, Scheduler, Settings

__all__ = [
    "Duration",
    "FileOfJobs",
    "History",
    "Logs",
    "Nats",
    "Problem",
    "PublishRetry",
    "Queue",
    "Replica",
    "Scheduler",
    "Settings",
    "Tls",
    "format_duration",
    "init",
    "load",
    "load_file",
    "load_jobs",
    "parse_duration",
    "read_job",
    "read_jobs",
    "reference",
    "sample_jobs",
    "show",
]
