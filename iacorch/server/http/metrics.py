"""Counts for /metrics, in the text format that everyone scrapes. Plain integers: no library is worth it.
time.

In: one call a request. Out: the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def count(self, method: str, code: int, seconds: float) -> None:
        self._requests[method, code] += 1
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

    def text(self, watches: int) -> bytes:
        lines = [
            "# HELP iacorch_requests_total Requests answered, by method and status code.",
            "# TYPE iacorch_requests_total counter",
        ]
        lines += [
            f'iacorch_requests_total{{method="{method}",code="{code}"}} {count}'
            for (method, code), count in sorted(self._requests.items())
        ]
        lines += [
            "# HELP iacorch_request_duration_seconds How long answers took; watches count until they end.",
            "# TYPE iacorch_request_duration_seconds histogram",
        ]
        total = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'iacorch_request_duration_seconds_bucket{{le="{bound}"}} {total}')
        lines += [
            f"iacorch_request_duration_seconds_sum {self._seconds:.6f}",
            f"iacorch_request_duration_seconds_count {total}",
            "# HELP iacorch_watches Open watches.",
            "# TYPE iacorch_watches gauge",
            f"iacorch_watches {watches}",
        ]
        return ("\n".join(lines) + "\n").encode()
