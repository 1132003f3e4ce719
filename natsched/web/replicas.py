"""The operations on what is at work: the replicas that live, and the versions of this one."""

from typing import Final

from natsched.client.forms import backlog_form, replica_form
from natsched.client.versions import versions
from natsched.web.operations import Asked, Operation


async def list_replicas(asked: Asked) -> object:
    return {"replicas": [replica_form(one) for one in await asked.client.replicas()]}


async def get_backlog(asked: Asked) -> object:
    return {"queues": {name: backlog_form(one) for name, one in (await asked.client.backlog()).items()}}


async def version(_: Asked) -> object:
    return versions()


OPERATIONS: Final = (
    Operation(
        name="listReplicas",
        method="GET",
        path="/replicas",
        summary="List the replicas that live, and which is the primary one.",
        do=list_replicas,
        returns="Replicas",
    ),
    Operation(
        name="getBacklog",
        method="GET",
        path="/backlog",
        summary="Tell by queue how many hints are delivered and not yet done with, and how late the oldest is.",
        do=get_backlog,
        returns="Backlog",
    ),
    Operation(
        name="getVersion",
        method="GET",
        path="/version",
        summary="Tell the versions of natsched, nats-py, the zone data and Python.",
        do=version,
        returns="Versions",
    ),
)
