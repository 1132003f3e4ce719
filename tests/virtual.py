"""Virtual time, as the package has it for its users."""

from natsched.testing.virtual import EPOCH, DeadlockError, VirtualClock, run_virtual, virtual_time

__all__ = ["EPOCH", "DeadlockError", "VirtualClock", "run_virtual", "virtual_time"]
