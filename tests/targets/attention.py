"""Someone who listens to what a run says."""

from pydantic import JsonValue

from natsched.core.specs import check_payload
from natsched.targets.control import Control


class Attentive(Control):
    """Keeps what a run says, if a replica would."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, JsonValue]] = []

    def check_in(self, text: str, data: JsonValue) -> None:
        check_payload(data, field="data")
        self.told.append((text, data))
