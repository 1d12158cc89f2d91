"""DriftPolicy: whether anybody looks when a check is due. `plan` decides, `controller` is the edge."""
