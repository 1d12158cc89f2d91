"""For all tests: what a shell may say of Python, and no program of ours may depend on; how long a property may take."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

for _name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(_name, None)

# Hypothesis's own default, which in CI draws the same examples each time; no test is about its duration.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
