"""What the services need from outside. `jetstream` and `memory` implement it; no rule of scheduling lives there.

Every call may raise `Unavailable`: no answer came in time, and a write may or may not have happened.
"""

from natsched.ports.backend import Backend, Link
from natsched.ports.hints import Delivery, HintStream, Intake
from natsched.ports.history import History
from natsched.ports.jobs import JobStore
from natsched.ports.locks import Lock, Locks
from natsched.ports.messages import Kept, Messages, Request, Said
from natsched.ports.offers import Answer, Endpoint, Offers
from natsched.ports.outbox import NoticeDelivery, NoticeIntake, Outbox

__all__ = [
    "Answer",
    "Backend",
    "Delivery",
    "Endpoint",
    "HintStream",
    "History",
    "Intake",
    "JobStore",
    "Kept",
    "Link",
    "Lock",
    "Locks",
    "Messages",
    "NoticeDelivery",
    "NoticeIntake",
    "Offers",
    "Outbox",
    "Request",
    "Said",
]
