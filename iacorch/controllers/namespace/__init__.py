"""Namespace: empties what is being deleted, then lets it go. `plan` decides, `controller` is the edge."""
