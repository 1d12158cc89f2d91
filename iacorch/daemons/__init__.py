"""Composition roots: the only places that own a real clock, real IDs, sockets and signals.

Loading structlog here, while `rich` is out of its sight, saves every daemon 5 MB: structlog would load it to colour
tracebacks, and daemons write plain lines.
"""

import sys

_is_hidden = "rich" not in sys.modules
if _is_hidden:
    sys.modules["rich"] = None  # type: ignore[assignment] # an import of it raises ImportError for now
import structlog  # noqa: E402, F401 - after `rich` was hidden, and for its side effect

if _is_hidden:
    del sys.modules["rich"]
