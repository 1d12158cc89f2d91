"""Settings of a program, as numbers that can be meant.

In: the text that a setting has (`config.get("workers")`). Out: a number. Pulumi's own `get_int` takes any whole number,
and answers a word with a traceback.
"""

from __future__ import annotations

from iacorch.errors import ConfigError


def whole_number(text: str | None, name: str, *, usual: int, least: int = 0) -> int:
    """The number of the setting `name`, which is `usual` where it is not set. Raises ConfigError that names it."""
    if text is None:
        return usual
    hint = f"iacorch config set {name} {usual}     or, for the usual {usual}: iacorch config rm {name}"
    try:
        number = int(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no whole number", where=f"setting {name}", hint=hint) from None
    if number < least:
        raise ConfigError(f"{number} is below {least}", where=f"setting {name}", hint=hint)
    return number
