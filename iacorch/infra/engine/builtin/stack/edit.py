"""The text of `Pulumi.STACK.yaml` with other values in it. Pure.

In: the text as a person wrote it, and the values that change. Out: the text with these, and everything else (comments,
order, quotes, how keys are written) as it was. Called by `project.StackConfig.save`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

_WIDEST: Final = 2**16
"""No line is broken that was none before."""


def edited(text: str, *, salt: str, changes: Mapping[str, Any], full_key: Callable[[str], str]) -> str:
    """`changes` have full keys, and None for what goes; `full_key` tells what a key as it is written means.

    A document with nothing in it is no text.
    """
    yaml = YAML()  # round trip
    yaml.width, yaml.preserve_quotes = _WIDEST, True
    found = yaml.load(text) if text.strip() else None
    document = CommentedMap() if found is None else found
    remarks = "" if found is not None or not text.strip() else f"{text.rstrip()}\n"
    if salt != document.get("encryptionsalt", ""):
        document["encryptionsalt"] = salt
    config = document.get("config") or CommentedMap()
    written = {full_key(str(key)): key for key in config}
    for full, value in sorted(changes.items()):
        if value is None:
            del config[written[full]]
        else:
            config[written.get(full, full)] = value
    if config:
        document["config"] = config
    else:
        document.pop("config", None)
    if not document:
        return remarks
    out = StringIO()
    yaml.dump(document, out)
    return remarks + out.getvalue()
