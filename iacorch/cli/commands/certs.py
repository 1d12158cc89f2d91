"""`iacorch certs`: the cluster's certificates, when they end, and how they are made anew.

In: a kubeconfig, or the stack with the control plane. Out: a table; the server does the work
(`server.identity.rotation`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click
import orjson

from iacorch.cli.command import Group
from iacorch.cli.endpoint import endpoint_of, with_server
from iacorch.cli.target import Target, with_target
from iacorch.client.http import HttpClient
from iacorch.client.tunnel import CERTIFICATES_PATH
from iacorch.errors import ConfigError
from iacorch.kit import limits
from iacorch.kit.clock import parse_rfc3339
from iacorch.kit.text import columns, did_you_mean

_NEXT: Final = """\
The new CA signs from now on; both are trusted, so nothing stands still. What is left to do:
  iacorch refresh && iacorch up      nodes hear of the new CA and renew, the stack's kubeconfig is brought up to date
  iacorch upgrade --no-drain         machines of node pools hear of it, through the provisioner
  (hand people their new kubeconfig: iacorch stack output kubeconfig --show-secrets)
  iacorch certs                      every row's ISSUER is the new CA
  iacorch certs rotate --ca --finish the old CA is trusted no more"""


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=("iacorch certs", "iacorch certs rotate", "iacorch certs withdraw worker-2"),
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@with_server
@with_target
@click.pass_context
def certs(context: click.Context, target: Target, as_json: bool, kubeconfig: Path | None) -> None:
    """List the cluster's certificates with the day they end; rotate them, withdraw a node's."""
    if context.invoked_subcommand is None:
        found = _ask(target, kubeconfig, None)
        click.echo(orjson.dumps(found).decode() if as_json else "\n".join(lines(found)))


@certs.command(examples=("iacorch certs rotate", "iacorch certs rotate --ca", "iacorch certs rotate --ca --finish"))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--ca", is_flag=True, help="The CA, too: begins a change that --finish ends.")
@click.option("--finish", is_flag=True, help="End the change of the CA: the old one is trusted no more.")
@click.option("--force", is_flag=True, help="With --finish: shut out nodes that still use the old CA.")
@with_server
@with_target
def rotate(target: Target, as_json: bool, ca: bool, finish: bool, force: bool, kubeconfig: Path | None) -> None:
    """Make certificates anew, while the server runs: its own and the administrator's; with --ca the CA's."""
    if (finish or force) and not ca:
        raise ConfigError("--finish and --force are about the CA", where="--finish", hint="give --ca as well")
    if not ca:
        found = _ask(target, kubeconfig, {"do": "renew"})
    else:
        found = _ask(target, kubeconfig, {"do": "end", "force": force} if finish else {"do": "begin"})
    click.echo(orjson.dumps(found).decode() if as_json else "\n".join(lines(found)))
    if found["changing"] and not as_json:
        click.echo(_NEXT)


@certs.command(
    arguments={"NODE": "a node that has one; `iacorch certs` lists them"}, examples=("iacorch certs withdraw worker-2",)
)
@click.argument("node")
@with_server
@with_target
def withdraw(target: Target, node: str, kubeconfig: Path | None) -> None:
    """Refuse the certificates of NODE from now on; its agent needs the join token to come back."""
    known = {row["name"] for row in _ask(target, kubeconfig, None)["certificates"] if row["use"] == "node"}
    if node not in known:
        means = did_you_mean(node, known)
        listed = "`iacorch certs` lists them"
        raise ConfigError(f"no certificate of a node {node!r} is good", hint=f"{means} {listed}" if means else listed)
    _ask(target, kubeconfig, {"do": "withdraw", "node": node})
    click.echo(f"withdrew the certificates of node {node}")


def lines(found: Mapping[str, Any]) -> list[str]:
    """The table."""
    now = parse_rfc3339(found["now"])
    rows = [("NAME", "USE", "ENDS", "LEFT", "ISSUER")]
    for row in found["certificates"]:
        left = parse_rfc3339(row["ends"]) - now
        soon = " (soon)" if left < timedelta(seconds=limits.CERTIFICATE_LEFT_SECONDS) else ""
        rows.append((row["name"], row["use"], row["ends"], f"{left.days}d{soon}", row["issuer"]))
    return columns(rows)


def _ask(target: Target, kubeconfig: Path | None, wish: Mapping[str, Any] | None) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        endpoint = await endpoint_of(target, kubeconfig)
        async with HttpClient(endpoint) as client:
            return await client.ask(CERTIFICATES_PATH, wish)

    return asyncio.run(ask())
