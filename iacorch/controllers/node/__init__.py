"""Node life cycle: who is silent, and what follows. `silence` counts, `plan` decides, `controller` listens."""
