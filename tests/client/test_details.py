"""What there is to know of a job, in words."""

from datetime import timedelta

from natsched.client.details import job_details
from natsched.client.views import view
from natsched.core.jobs import ExecutionId, Manual, Plan, Status
from tests.factories import NOON, make_job


def test_a_job_that_nobody_begins_says_what_it_waits_for() -> None:
    planned = make_job(due=NOON)
    later = Plan(n=1, due=NOON + timedelta(hours=1))
    asked = make_job(status=Status(plan=later, manual={ExecutionId("m"): Manual(at=NOON)}))
    for job in (planned, asked):
        for late, waits in ((timedelta(seconds=5), False), (timedelta(minutes=1), True)):
            said = dict(job_details(view(job, NOON + late), NOON + late))["waits"]
            assert ("natsched doctor" in said) is waits
