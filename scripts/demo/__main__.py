"""The story that iacorch is for, told live on the fleet that `make up` made. Fails if any of it does not happen.

    make demo              every step
    make demo ONLY=3,5     some of them

Read on in `story` (what happens), `fleet` (how it is asked) and `traffic` (who is calling meanwhile).
"""

from __future__ import annotations

import os
import sys
import time

from fleet import Fleet, NotHappened
from story import STEPS


def main() -> int:
    only = {int(number) for number in os.environ.get("ONLY", "").split(",") if number.strip()}
    fleet = Fleet.of_this_checkout()
    failed = 0
    started = time.monotonic()
    for number, (title, step) in enumerate(STEPS, 1):
        if only and number not in only:
            continue
        print(f"\n\033[1m{number}. {title}\033[0m", flush=True)
        began = time.monotonic()
        try:
            step(fleet)
        except NotHappened as missed:
            failed += 1
            print(f"   \033[31mDID NOT HAPPEN\033[0m after {time.monotonic() - began:.1f} s: {missed}", flush=True)
        else:
            print(f"   \033[32mas promised\033[0m, {time.monotonic() - began:.1f} s in all", flush=True)
    verdict = f"{failed} step(s) did not happen as promised" if failed else "all of it happened"
    print(f"\n{verdict}, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
