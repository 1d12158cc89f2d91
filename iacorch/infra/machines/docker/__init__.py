"""Machines made of containers: for pools on a host of one's own, and for trying.

Read in this order: `properties` (what makes a container behave like a small Debian server), `settings`, `driver`.
"""
