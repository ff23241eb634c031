"""What the processes of a benchmark have in common: orders, samples, reports, and a deadline.

A process gets its order as JSON, says `ready`, reads the common start from its standard input, says
so when it is complete, and leaves a report. It ends itself at the deadline.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

PEER_PORT = 6881
_SAMPLED_EVERY_S = 1.0


def say_ready() -> None:
    """Tell that everything is prepared."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def wait_start(order: dict[str, Any]) -> float:
    """Wait for the common start and the customer's own arrival; returns the start's clock time."""
    line = sys.stdin.readline()
    if not line:
        sys.exit("whoever ordered this is gone")
    start_at = float(line)
    time.sleep(max(0.0, start_at + order["arrives_s"] - time.time()))
    return start_at


class Diary:
    """Samples of what was got and given, and the end."""

    def __init__(self, order: dict[str, Any], start_at: float) -> None:
        """Begin now."""
        self._stays_s: float | None = order["stays_s"]
        self._report = Path(order["report"])
        self._start_at = start_at
        self._stop = Path(order["stop"])
        self._ends_at = time.time() + order["deadline_s"]
        self._samples: list[tuple[float, int, int]] = []
        self.finished_s: float | None = None
        """Since the start; None until complete."""

    @property
    def now_s(self) -> float:
        """Since the start."""
        return time.time() - self._start_at

    def over(self) -> bool:
        """Whether this process shall end: it was told to, stayed long enough, or is too late."""
        if self.finished_s is not None and self._stays_s is not None:
            return self.now_s >= self.finished_s + self._stays_s
        return self._stop.exists() or time.time() >= self._ends_at

    def due(self) -> bool:
        """Whether it is time to note again: once a second, as looking costs CPU."""
        return not self._samples or self.now_s - self._samples[-1][0] >= _SAMPLED_EVERY_S

    def note(self, moved_bytes: int, given_bytes: int = 0) -> None:
        """Note bytes so far: what counts, and what a customer gave to others."""
        self._samples.append((round(self.now_s, 2), moved_bytes, given_bytes))

    def finish(self) -> None:
        """Everything is there."""
        self.finished_s = round(self.now_s, 2)
        sys.stdout.write("complete\n")
        sys.stdout.flush()

    def close(self, moved_bytes: int, given_bytes: int = 0) -> None:
        """Leave the report."""
        self.note(moved_bytes, given_bytes)
        report = {"samples": self._samples, "finished_s": self.finished_s, "bytes": moved_bytes}
        self._report.write_text(json.dumps(report))
