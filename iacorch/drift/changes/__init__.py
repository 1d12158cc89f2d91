"""Plan before apply: one plan over machines, nodes and workloads, saved, and refused when anything moved since.

`model` is the plan as a value, `build` makes it of what previews and the API say, `money` prices it, `moved` compares
fingerprints, `file` is its form on disk; all of these are pure. `collect` asks the stacks, the API and the disk.
`iacorch plan` and `iacorch apply` call `collect`.
"""
