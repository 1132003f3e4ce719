"""The ports in memory: one process, one server object, time by the clock it is given."""

from natsched.memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
