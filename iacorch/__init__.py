"""iacorch: machines written in Python, containers run with kubectl, and one loop that keeps both true.

The journey of a request is the map of this package: `stack` and `infra` make machines and turn them into nodes;
`server` and `store` answer the Kubernetes API; `controllers` and `scheduler` decide; `agent` runs containers.
Start with ARCHITECTURE.md at the top of the repository.
"""

__version__ = "0.1.0"
