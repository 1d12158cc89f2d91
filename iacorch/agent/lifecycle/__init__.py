"""The life of a pod on its node, decided. Pure: what was observed goes in, the next step comes out.

`observed` has the values: the `View` of one pod and the closed union of operations. `machine.step` says which
operation is next, `status.pod_status` what Kubernetes is told of it. A pod's worker (`pods/worker.py`) calls `machine`
after everything that happens; drift builds the same values to say what a container should be. Read `observed`, then
`machine`, whose table is the whole life.
"""
