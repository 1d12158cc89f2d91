"""Drift: what is wanted against what is seen, on three layers, by one engine; reported, and corrected under a policy.

    machine    state of each stack            against a refresh preview           corrected by a targeted `up`
    node       the rendered bootstrap plan    against facts and check mode        corrected by running its roles again
    workload   pods, declared objects         against containers, live objects    corrected by agents, patches, deletes

Everything that compares or decides is pure: `model`, `compare`, `policy`, `windows`, `fights`, `memory`, `decide`,
`report`, and the modules of the three layers that are named after what they compare. The edges are `sources` and
`correctors` of each layer, put together by `check`. Read in that order. `plan` and `apply` of the command line stand in
`changes/`. Nothing below this room imports it.
"""
