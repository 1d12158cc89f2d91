"""A fleet in memory that can be changed behind iacorch's back: for tests, and for the benchmark.

`world` holds it and implements `check.Edges` with the very functions that compare the real one; `changes` lists
hundreds of ways to change it, each with what must be found.
"""
