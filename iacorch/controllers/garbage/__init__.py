"""Garbage collection by ownerReferences: background, foreground, orphan. `plan` decides, `controller` is the edge."""
