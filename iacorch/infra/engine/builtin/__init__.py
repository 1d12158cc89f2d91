"""A Pulumi engine in Python: serves the SDK's monitor, drives provider plugins, keeps Pulumi's own state files.

`engine.py` puts the parts together. `steps.py` decides (pure), `deployment.py` acts, `monitor.py` and `plugins.py` are
the two sides of the protocol, `wire.py` its values, `state.py` and `backend.py` what is kept. It supports what a Python
stack needs, refuses the rest by name, and never guesses.
"""
