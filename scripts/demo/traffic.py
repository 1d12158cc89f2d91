"""Visitors: a few threads that load the page over and over, each time on a new connection, and count what failed."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Traffic:
    """Use as a context manager; read `answered`, `failed` and `versions` afterwards."""

    address: tuple[str, int]
    visitors: int = 8
    timeout_seconds: float = 5
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    last_failure: float = 0.0
    versions: Counter[str] = field(default_factory=Counter)
    longest_outage_seconds: float = 0.0

    def __enter__(self) -> Traffic:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._last_answer = time.monotonic()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(self.visitors)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self.timeout_seconds + 1)

    def __str__(self) -> str:
        words = f"{self.answered} requests answered, {len(self.failures)} failed"
        if self.failures:
            words += f" (first: {self.failures[0]}), longest silence {self.longest_outage_seconds:.1f} s"
        return words

    def _visit(self) -> None:
        while not self._stop.is_set():
            try:
                text = self._load()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    self.last_failure = time.monotonic()
            else:
                with self._lock:
                    self.answered += 1
                    self.versions[text.split(", ")[1] if ", " in text else "?"] += 1
                    now = time.monotonic()
                    self.longest_outage_seconds = max(self.longest_outage_seconds, now - self._last_answer)
                    self._last_answer = now
            self._stop.wait(0.02)

    def _load(self) -> str:
        connection = http.client.HTTPConnection(*self.address, timeout=self.timeout_seconds)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
            if response.status != 200:
                raise http.client.HTTPException(f"{response.status} {text.strip()}")
            return text
        finally:
            connection.close()
