"""`albumswarm-tracker serve` as real processes, and their log."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from tests.integration.tracker.rig import FakeLicensing, running_tracker
from tests.patience import PATIENCE_S

NOBODY = "https://localhost:1"
"""A licensing service that is away."""


@dataclass
class Log:
    """What a process, with its workers, writes on standard error: one JSON object a line."""

    stream: trio.abc.ReceiveStream
    lines: list[dict[str, Any]] = field(default_factory=list)
    _rest: bytes = b""
    _taken: int = 0

    async def line(self) -> dict[str, Any] | None:
        """The next line, None once everybody who could write one has gone."""
        while self._taken == len(self.lines):
            received = await self.stream.receive_some()
            if not received:
                return None
            *whole, self._rest = (self._rest + received).split(b"\n")
            self.lines += [json.loads(line) for line in whole if line.startswith(b"{")]
        self._taken += 1
        return self.lines[self._taken - 1]

    async def until(self, event: str, **values: object) -> dict[str, Any]:
        """Read on until this event; what came before it is skipped."""
        while (line := await self.line()) is not None:
            if line["event"] == event and values.items() <= line.items():
                return line
        raise AssertionError(f"no {event} {values} in {self.lines}")

    async def to_the_end(self) -> None:
        while await self.line() is not None:
            pass


@dataclass
class TrackerProcess:
    """A tracker, or a supervisor with its workers."""

    process: trio.Process
    log: Log


@contextlib.asynccontextmanager
async def tracker_process(
    data: Path, *arguments: str, patience_s: float = PATIENCE_S
) -> AsyncIterator[TrackerProcess]:
    """Run `albumswarm-tracker serve` on loopback, without licensing; kill it in the end."""
    process = await trio.lowlevel.open_process(
        [
            *(sys.executable, "-m", "tracker", "serve", "--host", "localhost", "--port", "0"),
            *("--data", str(data), "--licensing-url", NOBODY, *arguments),
        ],
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    log = Log(process.stderr)
    try:
        with trio.fail_after(patience_s):
            async with process.stderr:
                yield TrackerProcess(process, log)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def prepare(folder: Path, licensing: FakeLicensing, *data: Path) -> None:
    """Leave in each folder of `data` all that a tracker needs to start without licensing."""
    async with running_tracker(folder, licensing):
        pass
    for place in data:
        shutil.copytree(folder / "tracker", place)
