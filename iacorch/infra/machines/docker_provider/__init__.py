"""A Pulumi provider for the package `docker`, for hosts that cannot download the real plugin.

The built-in engine starts it (`python -m iacorch.infra.machines.docker_provider ENGINE_ADDRESS`) where a program uses
`pulumi_docker` and no `pulumi-resource-docker` is installed. It has pulumi-docker 5.2's tokens, property names and
replacement rules for Network, Volume, RemoteImage, Image and Container, so a state made with it reads the same with the
real plugin. What it does not know it refuses by name.

The path of a request: `servicer` (gRPC) -> `schema` (what may be said) -> `changes` (what differs: pure) -> one module
a resource (`network`, `volume`, `images`, `container`): a pure translation to the Docker Engine API, and the calls.
"""
