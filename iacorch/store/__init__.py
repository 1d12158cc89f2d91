"""Revisioned bytes with watch. Knows no kinds: keys and values are bytes, order is a number.

`contract` is what everyone programs against, `memory` is the specification in code, `sqlite` is what a control plane
runs on. All pass `tests/store/conformance.py`.
"""
