"""`Pulumi.yaml` and `Pulumi.STACK.yaml`: what to run, and with which configuration.

In: a folder. Out: `Project` and `StackConfig`, frozen; a changed configuration is written back whole, atomically, with
the fields this engine does not know kept. Secure values stay encrypted until the deployment opens them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import yaml

from iacorch.infra.engine.builtin.stack.files import write
from iacorch.infra.engine.builtin.values.state import Cipher
from iacorch.infra.engine.errors import ProjectInvalid, Unsupported


@dataclass(frozen=True, slots=True)
class Project:
    """A program: its name, where it lies, the Python that runs it, and the project's own configuration defaults."""

    name: str
    root: Path
    main: Path
    virtualenv: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """One configuration value: its text, encrypted where `secure`; `structured` values are JSON text."""

    text: str
    secure: bool = False
    structured: bool = False


def load_project(root: Path) -> Project:
    """Read `Pulumi.yaml` in `root`."""
    path = root / "Pulumi.yaml"
    document = _read(path, required=True)
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise ProjectInvalid(f"{path}: the field `name` is missing")
    runtime = document.get("runtime")
    runtime_name = runtime.get("name") if isinstance(runtime, dict) else runtime
    if runtime_name != "python":
        raise Unsupported(f"the runtime {runtime_name!r}", where=str(path))
    options = (runtime.get("options") or {}) if isinstance(runtime, dict) else {}
    main = (root / str(document.get("main") or ".")).resolve()
    if not main.exists():
        raise ProjectInvalid(f"{path}: the program {main} does not exist", hint="correct the field `main`")
    return Project(
        name, root.resolve(), main, str(options.get("virtualenv") or ""), _defaults(name, document.get("config") or {})
    )


def _defaults(project: str, config: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        typed = isinstance(value, dict) and ("default" in value or "type" in value or "value" in value)
        given = (value.get("value", value.get("default")) if typed else value) if value is not None else None
        if given is not None:
            found[full_key(project, str(key))] = given
    return found


def full_key(project: str, key: str) -> str:
    """`key` with its namespace: the project's own where none is written."""
    return key if ":" in key else f"{project}:{key}"


@dataclass(frozen=True, slots=True)
class StackConfig:
    """`Pulumi.STACK.yaml` of a project. `values` have full keys; what is not read here stays in the file as it is."""

    path: Path
    project: str
    salt: str = ""
    values: Mapping[str, ConfigValue] = field(default_factory=dict)

    @property
    def has_secrets(self) -> bool:
        """Reading every value takes the passphrase."""
        return any(value.secure for value in self.values.values())

    def with_value(self, key: str, value: ConfigValue | None) -> StackConfig:
        values = {k: v for k, v in self.values.items() if k != key}
        return replace(self, values=values if value is None else values | {key: value})

    def save(self) -> None:
        """Write the file, whole or not at all, with a person's comments and order."""
        from iacorch.infra.engine.builtin.stack.edit import edited  # few commands write, and it takes 25 ms

        there = _values(self.project, _read(self.path, required=False), self.path)
        gone: dict[str, Any] = dict.fromkeys(there.keys() - self.values.keys())
        new = {key: _yaml_value(value) for key, value in self.values.items() if there.get(key) != value}
        before = self.path.read_text() if self.path.exists() else ""
        text = edited(before, salt=self.salt, changes=gone | new, full_key=lambda key: full_key(self.project, key))
        write(self.path, text.encode(), mode=0o644)

    def resolved(self, project: Project, cipher: Cipher) -> tuple[dict[str, str], frozenset[str]]:
        """Every value in the clear, project defaults below the stack's, and the keys that are secret."""
        plain = {key: _text(value) for key, value in project.defaults.items()}
        plain |= {key: open_value(value, cipher) for key, value in self.values.items()}
        return plain, frozenset(key for key, value in self.values.items() if value.secure)


def open_value(value: ConfigValue, cipher: Cipher) -> str:
    """A value's text in the clear; structured values are JSON with every secure part opened."""
    if not value.secure:
        return value.text
    if not value.structured:
        return cipher.open(value.text)
    return orjson.dumps(_open(orjson.loads(value.text), cipher)).decode()


def _open(value: Any, cipher: Cipher) -> Any:
    if isinstance(value, list):
        return [_open(item, cipher) for item in value]
    if isinstance(value, dict):
        if set(value) == {"secure"} and isinstance(value["secure"], str):
            return cipher.open(value["secure"])
        return {key: _open(item, cipher) for key, item in value.items()}
    return value


def load_stack_config(project: Project, stack: str) -> StackConfig:
    """Read `Pulumi.STACK.yaml`; a missing file is an empty configuration."""
    path = project.root / f"Pulumi.{stack}.yaml"
    document = _read(path, required=False)
    for unknown in ("environment", "encryptedkey"):
        if document.get(unknown):
            raise Unsupported(f"`{unknown}` in a stack's configuration", where=str(path))
    if (provider := document.get("secretsprovider")) not in (None, "", "passphrase"):
        raise Unsupported(f"the secrets provider {provider!r}", where=str(path))
    salt = str(document.get("encryptionsalt") or "")
    return StackConfig(path, project.name, salt, _values(project.name, document, path))


def _values(project: str, document: Mapping[str, Any], path: Path) -> dict[str, ConfigValue]:
    config = document.get("config") or {}
    if not isinstance(config, dict):
        raise ProjectInvalid(f"{path}: the field `config` is {type(config).__name__}, expected a mapping")
    return {full_key(project, str(key)): _config_value(value) for key, value in config.items()}


def _config_value(value: Any) -> ConfigValue:
    if isinstance(value, dict) and set(value) == {"secure"} and isinstance(value["secure"], str):
        return ConfigValue(value["secure"], secure=True)
    if isinstance(value, dict | list):
        return ConfigValue(orjson.dumps(value).decode(), secure=_has_secure(value), structured=True)
    return ConfigValue(_text(value))


def _has_secure(value: Any) -> bool:
    if isinstance(value, list):
        return any(_has_secure(item) for item in value)
    if isinstance(value, dict):
        return set(value) == {"secure"} or any(_has_secure(item) for item in value.values())
    return False


def _yaml_value(value: ConfigValue) -> Any:
    if value.structured:
        return orjson.loads(value.text)
    return {"secure": value.text} if value.secure else value.text


def _text(value: Any) -> str:
    """A YAML scalar as Pulumi hands it to programs: always text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return orjson.dumps(value, default=str).decode()


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        if required:
            raise ProjectInvalid(
                f"{path} does not exist", hint="run in the folder of a Pulumi project, or name it with --cwd"
            ) from None
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ProjectInvalid(f"{path} cannot be read: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ProjectInvalid(f"{path} is {type(document).__name__}, expected a mapping")
    return document
