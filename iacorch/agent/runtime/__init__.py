"""Containers: `contract` says what the agent needs of a runtime, `docker` does it, `fake` plays it in virtual time."""
