"""Which settings a program reads, found in its text without running it: to warn of one that nothing reads.

In: the folder of the program. Out: names, and whether they are all. Found in calls: `config.get_int("workers")`;
a program that asks for a name which it makes up (`config.get(name)`) may read anything that stands in it as a text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iacorch.kit.text import listed, near

_READS: Final = ("get", "require")
_HIDDEN: Final = (".", "__pycache__", "venv", "node_modules")


@dataclass(frozen=True, slots=True)
class Settings:
    """`names` are read for certain; `perhaps` may be."""

    names: frozenset[str] = frozenset()
    perhaps: frozenset[str] = frozenset()


def of_program(folder: Path) -> Settings:
    """Of every Python file of the folder; files that cannot be read or parsed tell nothing."""
    found = [of_source(text) for text in _sources(folder)]
    return Settings(
        frozenset().union(*(each.names for each in found)), frozenset().union(*(each.perhaps for each in found))
    )


def of_source(text: str) -> Settings:
    """Of one file's text."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return Settings()
    names: set[str] = set()
    is_open = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr.partition("_")[0] not in _READS:
                continue
            match node.args[0]:
                case ast.Constant(value=str(name)):
                    names.add(name)
                case _:
                    is_open = True
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return Settings(frozenset(names), frozenset(texts) if is_open else frozenset())


def unread(name: str, known: Settings) -> str:
    """What to say of a setting that no file reads; empty where one does, or where no file tells what it reads."""
    top = name.partition(".")[0].partition("[")[0]
    if not known.names or top in known.names or top in known.perhaps:
        return ""
    close = near(top, known.names)
    means = f"did you mean {' or '.join(close)}?" if close else f"it reads {listed(sorted(known.names), most=20)}"
    return f"no file of the program reads the setting {top}; {means}"


def _sources(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        if any(part.startswith(_HIDDEN) for part in path.relative_to(folder).parts):
            continue
        try:
            yield path.read_text()
        except (OSError, UnicodeDecodeError):
            continue
