"""`pulumi-resource-iacorch`: the Pulumi provider behind `iacorch.stack`.

In: gRPC requests of an engine. Out: the resources that a program declares, made, read, changed and removed. A request
goes from `main` (the process) through `servicer` (the gRPC edge: decodes, completes, checks) to one of `resources`.

Read in this order: `resource` (what every resource module is), `properties` (specifications, and what is decided from
them: checks, differences), `schema` (the same data as Pulumi's package schema), `servicer`, then `resources/`.
"""
