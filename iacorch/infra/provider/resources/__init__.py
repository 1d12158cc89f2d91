"""The resources of the package `iacorch`, a module each: what a program may declare, and how it is made real.

In: inputs that the servicer checked against the module's `SPEC`. Out: outputs and progress, or a typed error that says
whether something was made. `servicer` calls them through the protocol `Resource`; `main` lists them.

| module                                        | makes                                                                |
|-----------------------------------------------|----------------------------------------------------------------------|
| `ssh_key`                                     | a key pair                                                           |
| `virtual_machine`, `virtual_machine_spec`     | a machine, by a driver of `infra/machines`                           |
| `control_plane`, `node`                       | a machine into a node of the fleet, by `infra/bootstrap`             |
| `manifest`, `manifest_plan`                   | objects of the cluster                                               |
| `machine_class`, `node_pool`                  | what the cluster may ask for by itself (`docs/pools.md`)             |

Shared: `machine` (from a connection to a running daemon, for `node` and `control_plane`) and `cluster` (what is done
through the API). Read `ssh_key` first, it is the smallest; then `node`.
"""
