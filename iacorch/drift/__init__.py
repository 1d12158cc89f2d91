"""Drift: what is wanted against what is seen, on three layers, by one engine; reported, and corrected under a policy.

In: the states of stacks, hosts over SSH, the API, DriftPolicies. Out: a report, and corrections. `iacorch drift` runs
it once or, through `loop`, for ever. Nothing below this room imports it.

    machine/    state of each stack            against a refresh preview           corrected by a targeted `up`
    node/       the rendered bootstrap plan    against facts and check mode        corrected by running its roles again
    workload/   pods, declared objects         against containers, live objects    corrected by agents, patches, deletes

The way of one check (`check`, made real by `edges`):

    fleet           what the stacks say there is (`inventory` tells Ansible the same)
      -> a layer    looks and compares (`compare`), and ends in observations (`model`)
      -> decisions/ what is done about each, and why, or why not
      -> a layer    corrects
      -> reports/   for people, programs and the API

Everything that compares or decides is pure; the edges are `source` of each layer. `changes/` is `iacorch plan` and
`apply`; `fake/` a fleet in memory. Read `model`, `compare`, then `decisions/`.
"""
