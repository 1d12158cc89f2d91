"""A pod's name resolution: what ends up in its resolv.conf and hosts files, so nothing that breaks a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from iacorch.api import names
from iacorch.api.validate import addresses
from iacorch.api.validate.problems import Problems

_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NAMESERVERS: Final = 3
_SEARCHES: Final = 32
_SEARCH_CHARACTERS: Final = 2048


def check(problems: Problems, path: str, spec: Mapping[str, Any]) -> None:
    """A pod's spec at `path`."""
    policy, config = spec.get("dnsPolicy"), spec.get("dnsConfig") or {}
    problems.one_of(f"{path}.dnsPolicy", policy, _POLICIES)
    if policy == "None" and not config.get("nameservers"):
        problems.required(
            f"{path}.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None"
        )
    if config:
        _config(problems, f"{path}.dnsConfig", config)
    for index, alias in enumerate(spec.get("hostAliases") or []):
        at = f"{path}.hostAliases[{index}]"
        addresses.check(problems, f"{at}.ip", alias.get("ip", ""))
        for place, name in enumerate(alias.get("hostnames") or []):
            problems.each(f"{at}.hostnames[{place}]", name, names.dns_subdomain(name))


def _config(problems: Problems, path: str, config: Mapping[str, Any]) -> None:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _NAMESERVERS:
        problems.invalid(f"{path}.nameservers", servers, f"must not have more than {_NAMESERVERS} nameservers")
    for index, server in enumerate(servers):
        addresses.check(problems, f"{path}.nameservers[{index}]", server)
    if len(searches) > _SEARCHES:
        problems.invalid(f"{path}.searches", searches, f"must not have more than {_SEARCHES} search paths")
    if len(" ".join(searches)) > _SEARCH_CHARACTERS:
        words = f"must not have more than {_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        problems.invalid(f"{path}.searches", searches, words)
    for index, search in enumerate(searches):
        if search != ".":
            problems.each(f"{path}.searches[{index}]", search, names.dns_subdomain(search.removesuffix(".")))
    for index, option in enumerate(config.get("options") or []):
        if not option.get("name"):
            problems.required(f"{path}.options[{index}]", "must not be empty")
        for field in ("name", "value"):
            if any(character.isspace() for character in option.get(field) or ""):
                problems.invalid(f"{path}.options[{index}].{field}", option[field], "must not contain white space")
