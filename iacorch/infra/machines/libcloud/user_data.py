"""What a new machine is told at its first boot: a class's user data, and the key that lets us in. Pure.

In: user data as a person wrote it, a public key. Out: one text for cloud-init that has both. Called by `driver`: every
cloud takes user data, and not every one takes keys by name. EC2's own driver uses key pairs.
"""

from __future__ import annotations

import hashlib
from email import message_from_string
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any, Final

import yaml

from iacorch.infra.machines.errors import InvalidSpec

_CONFIG: Final = "#cloud-config"
_KINDS: Final = {
    "#!": "x-shellscript",
    "#cloud-boothook": "cloud-boothook",
    "#include": "x-include-url",
    "## template: jinja": "jinja2",
}
"""How a text begins -> what cloud-init calls it."""


def with_key(text: str, public_key: str) -> str:
    """The same text for the same arguments. Raises InvalidSpec on user data that cloud-init would not take."""
    if not public_key:
        return text
    if not text.strip():
        return _config({}, public_key)
    if text.startswith(_CONFIG):
        try:
            given = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise InvalidSpec("user_data", f"is no YAML: {error}") from error
        if not isinstance(given, dict):
            raise InvalidSpec("user_data", f"cloud-config is a mapping, found {type(given).__name__}")
        return _config(given, public_key)
    key = MIMEText(_config({}, public_key), "cloud-config", "utf-8")
    if text.lower().startswith(("content-type: multipart/", "mime-version:")):
        message = message_from_string(text)
        if not message.is_multipart():
            raise InvalidSpec("user_data", "is a message of one part; write it as it is, or as multipart/mixed")
        message.attach(key)
        return message.as_string()
    kind = next((kind for start, kind in _KINDS.items() if text.startswith(start)), "")
    if not kind:
        raise InvalidSpec("user_data", f"begins with {text[:20]!r}; cloud-init expects {_CONFIG}, #! or multipart")
    digest = hashlib.sha256(f"{text}\0{public_key}".encode()).hexdigest()
    whole = MIMEMultipart("mixed", boundary=f"iacorch-{digest[:24]}")
    whole.attach(key)
    whole.attach(MIMEText(text, kind, "utf-8"))
    return whole.as_string()


def _config(given: dict[str, Any], public_key: str) -> str:
    """Root may log in, unless the person who wrote it says otherwise."""
    keys = [*(given.get("ssh_authorized_keys") or []), public_key.strip()]
    whole = {"disable_root": False, **given, "ssh_authorized_keys": list(dict.fromkeys(keys))}
    return f"{_CONFIG}\n{yaml.safe_dump(whole, sort_keys=False, width=10_000)}"
