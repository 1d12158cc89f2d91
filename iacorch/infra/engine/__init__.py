"""Run Pulumi programs: one protocol (`contract`), two engines (`builtin`, `cli_engine`), one choice (`select`).

In: a stack reference, options, a listener for events. Out: a result value, and a state file that either engine can
continue. Callers: `iacorch.cli.commands.deploy`, drift correction, the node-claim controller's composition root. Read
`contract.py` next.
"""
