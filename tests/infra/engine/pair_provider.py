"""A provider of one component, as Pulumi's SDK makes them: `python pair_provider.py [ENGINE_ADDRESS]`.

`pair:index:Pair` takes `value` and is made of two `loop:index:Thing`s, of which the second needs the first. Its output
`addresses` joins theirs; its method `greet` answers with a greeting. `fail` makes it raise.
"""

import sys
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi import provider


class Thing(pulumi.CustomResource):
    address: pulumi.Output[str]

    def __init__(self, name: str, value: Any, opts: pulumi.ResourceOptions) -> None:
        super().__init__("loop:index:Thing", name, {"address": None, "value": value}, opts)


class Pair(pulumi.ComponentResource):
    def __init__(self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None) -> None:
        super().__init__("pair:index:Pair", name, {}, opts)
        inner = pulumi.ResourceOptions(parent=self)
        self.first = Thing(f"{name}-first", inputs["value"], inner)
        self.second = Thing(f"{name}-second", self.first.address, inner)
        self.addresses = pulumi.Output.concat(self.first.address, "+", self.second.address)
        self.register_outputs({"addresses": self.addresses})


class Provider(provider.Provider):
    def construct(
        self, name: str, resource_type: str, inputs: Mapping[str, Any], options: pulumi.ResourceOptions | None = None
    ) -> provider.ConstructResult:
        if "fail" in inputs:
            raise ValueError("a pair cannot be made of this")
        made = Pair(name, inputs, options)
        return provider.ConstructResult(made.urn, {"addresses": made.addresses})

    def call(self, token: str, args: Mapping[str, Any]) -> provider.CallResult:
        greeting = pulumi.Output.concat("hello ", args["whom"], ", from ", args["__self__"])
        return provider.CallResult(outputs={"greeting": greeting})


if __name__ == "__main__":
    provider.main(Provider("1.0.0"), sys.argv[1:])
