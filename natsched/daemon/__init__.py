"""The replica: services over ports and a clock, owned by one task group."""
