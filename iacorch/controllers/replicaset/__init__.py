"""ReplicaSet: keeps a number of pods of one template. `plan` decides, `controller` is the edge."""
