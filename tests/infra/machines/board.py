"""A management board in a process of its own: real IPMI 2.0 over UDP, as pyghmi serves it, and no real power supply.

    python -m tests.infra.machines.board PORT

Prints one line for each thing that was asked of the power supply. As many boards do, it refuses to cycle what is off.
"""

from __future__ import annotations

import sys

from pyghmi.ipmi.bmc import Bmc

REFUSED = 0xD5  # "not supported in present state"


class Board(Bmc):  # type: ignore[misc] # pyghmi has no types
    is_on = True

    def get_power_state(self) -> str:
        return "on" if self.is_on else "off"

    def power_on(self) -> None:
        self._switch("on", now=True)

    def power_off(self) -> None:
        self._switch("off", now=False)

    def power_shutdown(self) -> None:
        self._switch("soft", now=False)

    def power_cycle(self) -> int:
        if not self.is_on:
            return REFUSED
        self._switch("cycle", now=True)
        return 0

    def _switch(self, word: str, *, now: bool) -> None:
        self.is_on = now
        say(word)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    board = Board({"admin": "secret"}, port=int(sys.argv[1]), address="127.0.0.1")
    say("ready")
    board.listen()
