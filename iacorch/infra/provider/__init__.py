"""`pulumi-resource-iacorch`: the Pulumi provider behind `iacorch.stack`.

Read in this order: `resource` (what every resource module is), `properties` (specifications, and what is decided from
them: checks, differences, the schema), `node`, `control_plane`, `manifest`, `ssh_key` (one resource each), `machine`
(what Node and ControlPlane share), `cluster` (what they do through the API), `servicer` and `main` (the gRPC edge).
"""
