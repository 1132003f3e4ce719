"""What the properties of the core share."""

from hypothesis import settings

settings.register_profile(
    "core", deadline=None
)  # on a busy machine an example may take long; the test's limit is enough
settings.load_profile("core")
