"""Deployment: rolls a template out over ReplicaSets. `plan` decides; `rolling`, `scaling`, `status` are its parts."""
