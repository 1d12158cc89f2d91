"""`iacorch inventory`: the cluster's machines for people's own playbooks, and where our collection is.

In: options. Out: what Ansible reads from an inventory script. `load` is also what the collection's inventory plugin
`iacorch.nodes.nodes` calls, which runs in Ansible's process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import orjson

from iacorch.api.catalogue import NODE
from iacorch.api.objects import Object
from iacorch.cli.command import Command
from iacorch.cli.target import Target, with_target
from iacorch.client.config import Endpoint, parse_kubeconfig, read_kubeconfig
from iacorch.client.http import HttpClient
from iacorch.drift.fleet import Fleet, fleet_of
from iacorch.drift.inventory import Entry, entries, script
from iacorch.errors import ApiError, ConfigError
from iacorch.infra.bootstrap.sources import collections
from iacorch.infra.engine.contract import StackRef

Warn = Callable[[str], None]


@click.command(
    cls=Command,
    examples=(
        "iacorch inventory | jq .nodes.hosts",
        "iacorch inventory --host worker-1",
        "export ANSIBLE_COLLECTIONS_PATH=$(iacorch inventory --collections-path)",
    ),
)
@click.option("--list", "as_list", is_flag=True, help="Everything, as Ansible asks an inventory script. The default.")
@click.option("--host", default="", metavar="NAME", help="The variables of one machine.")
@click.option("--kubeconfig", type=click.Path(dir_okay=False, path_type=Path), help="By default the stacks' own.")
@click.option("--collections-path", is_flag=True, help="Print the folder to add to ANSIBLE_COLLECTIONS_PATH.")
@with_target
def inventory(target: Target, as_list: bool, host: str, kubeconfig: Path | None, collections_path: bool) -> None:
    """Machines of the stacks and the cluster, as JSON that Ansible reads. Keys of machines are left out."""
    if collections_path:
        click.echo(str(collections()))
        return
    answer = script(load(target, kubeconfig, lambda words: click.echo(words, err=True)))
    if host:
        answer = answer["_meta"]["hostvars"].get(host, {})
    click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())


def load(target: Target, kubeconfig: Path | None, warn: Warn) -> tuple[Entry, ...]:
    """Raises ConfigError and EngineError. A cluster that does not answer is warned of: its machines are still there."""
    return asyncio.run(_load(target, kubeconfig, warn))


async def _load(target: Target, kubeconfig: Path | None, warn: Warn) -> tuple[Entry, ...]:
    files = target.files()
    everything = StackRef(target.root, "any", target.backend_url)
    names = (target.stack_option,) if target.stack_option else await files.stacks(everything)
    fleet = fleet_of({name: (await files.open(target.ref(name))).snapshot for name in names})
    endpoint = _endpoint(fleet, kubeconfig)
    if endpoint is None and not fleet.hosts:
        raise ConfigError("no stack has machines, and no kubeconfig is named", where="--stack")
    nodes: Sequence[Object] = ()
    if endpoint is not None:
        try:
            async with HttpClient(endpoint) as client:
                nodes = (await client.list(NODE)).items
        except ApiError as error:
            warn(f"what the cluster says of its nodes is missing: {error.message}")
    return entries(fleet, nodes)


def _endpoint(fleet: Fleet, kubeconfig: Path | None) -> Endpoint | None:
    if kubeconfig is not None:
        return read_kubeconfig(kubeconfig)
    return parse_kubeconfig(fleet.kubeconfig, where="kubeconfig") if fleet.kubeconfig else None
