"""The operations as a NATS service, for clients in any language."""
