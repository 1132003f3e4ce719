"""What is wrong, and what to do about it: looks at a running set-up and changes nothing."""

from natsched.doctor.examining import examine
from natsched.doctor.findings import Finding, Level

__all__ = ["Finding", "Level", "examine"]
