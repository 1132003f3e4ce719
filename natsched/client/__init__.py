"""The client: what a service says to the scheduler. It writes directly; no replica needs to be up."""
