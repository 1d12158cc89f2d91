"""For all tests: what a person's shell may say of Python, and what a program of ours must not depend on."""

from __future__ import annotations

import os

for _name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(_name, None)
