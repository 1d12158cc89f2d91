"""Findings as text and as JSON. Pure.

In: what `explain` found. Out: lines that fit; a document. Called by the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from iacorch.kit import limits
from iacorch.kit.text import listed, plural, shortened
from iacorch.why.model import Finding, Rank


def lines(found: Sequence[Finding], rest: str, unseen: Sequence[str] = (), *, width: int) -> Iterator[str]:
    """A numbered cause, what it is about, what was read, what follows, what to type."""
    wrong = [f for f in found if f.rank is not Rank.REMARK]
    for number, finding in enumerate(wrong, 1):
        yield from _one(f"{number}. ", finding, width)
        yield ""
    remarks = [f for f in found if f.rank is Rank.REMARK]
    if remarks:
        yield "worth knowing:"
    for finding in remarks:
        yield from _one("- ", finding, width)
    if remarks:
        yield ""
    for entry in unseen:
        yield f"not looked at: {entry}"
    yield from _wrapped("", f"{plural(len(wrong), 'thing')} to mend; {rest}" if wrong else rest, width)


def to_json(found: Sequence[Finding], rest: str, unseen: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "summary": rest,
        "unseen": list(unseen),
        "findings": [
            {
                "rank": finding.rank.name.lower(),
                "cause": finding.cause,
                "about": list(finding.about),
                "evidence": list(finding.evidence),
                "consequences": list(finding.so),
                "next": [{"command": step.command, "why": step.why} for step in finding.steps],
            }
            for finding in found
        ],
    }


def _one(mark: str, finding: Finding, width: int) -> Iterator[str]:
    margin = " " * len(mark)
    subject = finding.group or finding.about[0]
    is_named = finding.rank in (Rank.CLUSTER, Rank.NODE) or subject.lower() in finding.cause.lower()
    yield from _wrapped(mark, finding.cause if is_named else f"{subject}: {finding.cause}", width)
    if finding.about != (subject,) and not is_named:
        names = listed((label.rpartition("/")[2] for label in finding.about), most=limits.WHY_NAMES)
        yield from _wrapped(f"{margin}in ", f"{plural(len(finding.about), 'pod')}: {names}", width)
    for text in finding.evidence:
        # a log line is one line; a message is a sentence, and its end may be what matters
        if text.startswith("log: "):
            yield f"{margin}| {shortened(text, width - len(margin) - 2)}"
        else:
            yield from _wrapped(f"{margin}| ", shortened(text, 3 * width), width)
    for text in finding.so:
        yield from _wrapped(f"{margin}so ", text, width)
    commands = [step.command for step in finding.steps]
    column = min(max(map(len, commands), default=0), width // 2)
    for number, step in enumerate(finding.steps):
        head = f"{margin}{'next:' if not number else '     '} "
        # a command is never cut: it is there to be pasted
        yield f"{head}{step.command:<{column}}   {step.why}".rstrip()


def _wrapped(mark: str, text: str, width: int) -> Iterator[str]:
    """Words of a cause are never cut, only broken into lines."""
    line, margin = mark, " " * len(mark)
    for word in text.split():
        if len(line) + len(word) > width and line.strip() != mark.strip():
            yield line.rstrip()
            line = margin
        line += f"{word} "
    yield line.rstrip()
