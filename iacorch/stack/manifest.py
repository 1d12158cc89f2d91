"""Manifest, as a stack program sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from iacorch.stack.node import ControlPlane


class Manifest(pulumi.CustomResource):
    """Kubernetes objects from YAML or dicts, applied together and awaited.

        iac.Manifest("app", control_plane=cp, yaml=Path("app.yaml").read_text())
        iac.Manifest("settings", control_plane=cp, objects=[
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"greeting": "hello"}},
        ])

    A preview lets the server try where it can be reached. What leaves the manifest is removed from the cluster.
    """

    def __init__(
        self,
        name: str,
        *,
        control_plane: ControlPlane | None = None,
        kubeconfig: pulumi.Input[str] | None = None,
        yaml: pulumi.Input[str] | None = None,
        objects: pulumi.Input[Sequence[Mapping[str, Any]]] | None = None,
        namespace: pulumi.Input[str] = "default",
        wait: pulumi.Input[bool] = True,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        `control_plane`, or the `kubeconfig` of any cluster; `yaml` (documents separated by ---), or `objects`, or both.
        `namespace` is for namespaced objects that name none; `wait` is for rollouts.
        """
        access = kubeconfig if control_plane is None else control_plane.kubeconfig
        if access is None:
            raise ValueError(f"Manifest {name!r}: give control_plane or kubeconfig")
        properties: dict[str, Any] = {
            "kubeconfig": pulumi.Output.secret(access),
            "yaml": yaml,
            "objects": objects,
            "namespace": namespace,
            "wait": wait,
            "applied": None,
            "inSync": None,
        }
        super().__init__("iacorch:index:Manifest", name, properties, opts)

    @property
    def applied(self) -> pulumi.Output[Sequence[str]]:
        """The objects, each as apiVersion, kind and namespace/name."""
        return pulumi.get(self, "applied")  # type: ignore[no-any-return]

    @property
    def in_sync(self) -> pulumi.Output[bool]:
        """Whether all of them were there as wanted when last looked at."""
        return pulumi.get(self, "inSync")  # type: ignore[no-any-return]
