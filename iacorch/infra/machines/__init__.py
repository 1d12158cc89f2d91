"""Drivers that make machines, and what a machine of the local stack is made from (its image)."""
