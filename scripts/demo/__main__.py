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


def styled(code: int, text: str) -> str:
    """With an escape code where a person sees it."""
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


NEXT = """
Look at next:
  kubectl get pods -o wide        where everything ended up        (. scripts/environment gives your shell kubectl)
  kubectl get events              what the cluster said of it
  iacorch why                     what does not work, for which cause, and what to type
  iacorch drift                   what differs from what is wanted
  make demo ONLY=3                one step again
  make bench                      the measured times beside the goals
  make down                       removes everything that make up made"""


def main() -> int:
    only = {int(number) for number in os.environ.get("ONLY", "").split(",") if number.strip()}
    fleet = Fleet.of_this_checkout()
    failed = 0
    started = time.monotonic()
    for number, (title, step) in enumerate(STEPS, 1):
        if only and number not in only:
            continue
        print(f"\n{styled(1, f'{number}. {title}')}", flush=True)
        began = time.monotonic()
        try:
            step(fleet)
        except NotHappened as missed:
            failed += 1
            words = styled(31, "DID NOT HAPPEN")
            print(f"   {words} after {time.monotonic() - began:.1f} s: {missed}", flush=True)
        else:
            print(f"   {styled(32, 'as promised')}, {time.monotonic() - began:.1f} s in all", flush=True)
    verdict = f"{failed} step(s) did not happen as promised" if failed else "all of it happened"
    print(f"\n{verdict}, {time.monotonic() - started:.0f} s")
    print(NEXT if not failed else "\nLook at next:\n  iacorch why     what does not work, and what to type")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
