"""Owned hosts, reached by SSH: adopted and given back, never made and never destroyed.

Read in this order: `settings` (the inventory a person writes), `ledger` (what is remembered of a host that does not
answer), `power` (commands and IPMI), `driver`.
"""
