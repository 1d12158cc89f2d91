"""`iacorch why`: why something does not work, in one place, with what to type next.

In: nothing, or an object as kubectl names it. Out: causes in order; `--json`. The API is asked once; the decision is
`iacorch.why.explain`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click
import orjson

from iacorch.api import catalogue, objects
from iacorch.api.catalogue import Kind
from iacorch.cli.command import Command, width
from iacorch.cli.endpoint import endpoint_of, with_server
from iacorch.cli.target import Target, with_target
from iacorch.client.http import HttpClient, path_of
from iacorch.errors import ConfigError, Unavailable
from iacorch.kit import limits
from iacorch.kit.clock import SystemClock
from iacorch.kit.text import did_you_mean
from iacorch.why import page
from iacorch.why.explain import explain, fine
from iacorch.why.gather import gather
from iacorch.why.model import Focus, Rank, World

_KINDS: Final = (
    catalogue.POD, catalogue.DEPLOYMENT, catalogue.REPLICA_SET, catalogue.SERVICE, catalogue.NODE, catalogue.NAMESPACE,
    catalogue.NODE_CLAIM,
)  # fmt: skip


@click.command(
    cls=Command,
    arguments={"OBJECT": "KIND/NAME, KIND NAME or a pod's NAME; without it everything that is wrong in the cluster"},
    examples=(
        "iacorch why",
        "iacorch why deployment/web",
        "iacorch why node/worker-2",
        "iacorch why web-7d9c5b6f4-x2x8q -n shop --json",
    ),
    exit_codes={0: "nothing is wrong; without --detailed-exitcode also: something is", 1: "an error",
                2: "something is wrong"},
)  # fmt: skip
@click.argument("words", metavar="[OBJECT]", nargs=-1)
@click.option("-n", "--namespace", default="default", show_default=True, help="Where the object is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--detailed-exitcode", is_flag=True, help="2 when something is wrong.")
@with_server
@with_target
def why(
    target: Target, words: tuple[str, ...], namespace: str, as_json: bool, detailed_exitcode: bool,
    kubeconfig: Path | None,
) -> None:  # fmt: skip
    """Say why something does not work, and what to do next.

    It looks at nodes, pods, their events, probes and last words, Deployments, Services, machines of pools and the last
    report of drift. The same cause is said once, what explains most first. Nothing is changed.
    """
    focus = focus_of(words, namespace)
    world = asyncio.run(_look(target, kubeconfig))
    if focus is not None:
        _must_exist(focus, world)
    found, rest = explain(world, focus), fine(world)
    wrong = any(f.rank is not Rank.REMARK for f in found)
    if focus is not None and not wrong:
        rest = fine(world, focus)
    if as_json:
        click.echo(orjson.dumps(page.to_json(found, rest, world.unseen), option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo("\n".join(page.lines(found, rest, world.unseen, width=width())))
    if detailed_exitcode and wrong:
        click.get_current_context().exit(2)


def focus_of(words: tuple[str, ...], namespace: str) -> Focus | None:
    """As kubectl takes it. Raises ConfigError for a kind that this cannot explain."""
    if not words:
        return None
    if len(words) > 2 or (len(words) == 2 and "/" in words[0]):
        raise ConfigError(f"expected KIND/NAME, found {' '.join(words)!r}", hint="one object at a time")
    kind_word, slash, name = words[0].partition("/")
    if len(words) == 2:
        kind_word, name = words
    elif not slash:
        kind_word, name = "pod", words[0]
    known = {alias: kind for kind in _KINDS for alias in _aliases(kind)}
    kind = known.get(kind_word.lower())
    if kind is None or not name:
        raise ConfigError(
            f"{kind_word!r} is no kind that `iacorch why` explains" if kind is None else f"which {kind_word}?",
            hint=did_you_mean(kind_word, sorted({k.kind.lower() for k in _KINDS})) if kind is None else
            f"as in: iacorch why {kind_word}/NAME",
        )  # fmt: skip
    return Focus(kind.kind, namespace if kind.namespaced else "", name)


def _aliases(kind: Kind) -> set[str]:
    return {kind.kind.lower(), kind.plural, *kind.short_names}


def _must_exist(focus: Focus, world: World) -> None:
    """Raises ConfigError with near names: a mistyped name is not fine."""
    lists = {
        "Pod": world.pods, "Deployment": world.deployments, "ReplicaSet": world.replica_sets,
        "Service": world.services, "Node": world.nodes, "NodeClaim": world.claims,
    }  # fmt: skip
    if focus.kind not in lists:
        return
    names = [objects.name(obj) for obj in lists[focus.kind] if objects.namespace(obj) == focus.namespace]
    if focus.name in names:
        return
    elsewhere = sorted({objects.namespace(o) for o in lists[focus.kind] if objects.name(o) == focus.name})
    where = f" in namespace {focus.namespace}" if focus.namespace else ""
    hint = (
        f"there is one in {elsewhere[0]}: -n {elsewhere[0]}"
        if elsewhere
        else did_you_mean(focus.name, names, what=focus.kind)
    )
    raise ConfigError(f"there is no {focus.kind} {focus.name}{where}", hint=hint)


async def _look(target: Target, kubeconfig: Path | None) -> World:
    endpoint = await endpoint_of(target, kubeconfig)
    async with HttpClient(endpoint) as client:

        async def logs(namespace: str, pod: str, container: str) -> str:
            query = {"container": container, "tailLines": str(limits.WHY_LOG_LINES)}
            return await client.text(path_of(catalogue.POD, namespace, pod, "log"), query)

        try:
            return await gather(client, logs, SystemClock())
        except Unavailable as error:
            raise Unavailable(
                f"the control plane does not answer: {error.message}",
                hint="pods run on without it. Is its machine there, and iacorchd on it? "
                "`iacorch drift --layer machine --layer node` looks at both, `--correct` sets them right",
            ) from error
