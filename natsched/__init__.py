"""A distributed job scheduler on NATS JetStream: any number of equal replicas, no leader that fires."""

from natsched.client.client import Client
from natsched.client.connecting import connect
from natsched.client.handle import ExecutionHandle
from natsched.client.views import JobPage, JobView
from natsched.core.backoff import RetryPolicy
from natsched.core.chains import After
from natsched.core.executions import ExecutionStatus, Record
from natsched.core.schedules import Cron, Interval, Once
from natsched.core.targets import Http, NatsRequest, Publish, Shell
from natsched.embedding import embed
from natsched.errors import (
    BackendError,
    ConfigError,
    Conflict,
    DocumentError,
    DuplicateHandler,
    ExecutionFailed,
    HandlerError,
    InvalidJob,
    JobChanged,
    JobError,
    JobExists,
    JobNotFound,
    JobOwned,
    LockLost,
    NatschedError,
    PermissionDenied,
    ScheduleError,
    ServerTooOld,
    TooManyEntries,
    TopologyConflict,
    Unavailable,
)
from natsched.protocol.operations import Ensured
from natsched.targets.context import Context
from natsched.targets.hooks import HookEvent
from natsched.targets.lines import keep_log_lines
from natsched.targets.registry import Registry
from natsched.targets.signals import Abort, Retry

__all__ = [
    "Abort",
    "After",
    "BackendError",
    "Client",
    "ConfigError",
    "Conflict",
    "Context",
    "Cron",
    "DocumentError",
    "DuplicateHandler",
    "Ensured",
    "ExecutionFailed",
    "ExecutionHandle",
    "ExecutionStatus",
    "HandlerError",
    "HookEvent",
    "Http",
    "Interval",
    "InvalidJob",
    "JobChanged",
    "JobError",
    "JobExists",
    "JobNotFound",
    "JobOwned",
    "JobPage",
    "JobView",
    "LockLost",
    "NatsRequest",
    "NatschedError",
    "Once",
    "PermissionDenied",
    "Publish",
    "Record",
    "Registry",
    "Retry",
    "RetryPolicy",
    "ScheduleError",
    "ServerTooOld",
    "Shell",
    "TooManyEntries",
    "TopologyConflict",
    "Unavailable",
    "connect",
    "embed",
    "keep_log_lines",
]
