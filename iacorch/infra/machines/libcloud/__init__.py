"""Machines at any cloud that Apache Libcloud knows, by the name of its driver there.

Read in this order: `settings`, `marks` (whose a machine is, written into its name: the one thing that all clouds keep),
`api` (the one door to libcloud), `driver`. Where a cloud has a driver of its own here (`aws`), that one can do more.
"""
