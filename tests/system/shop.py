"""A running store for the system tests: the demo's own network, and customers as processes."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from docs.demo.customers import Customer, get_line
from docs.demo.services import Network, run
from tests.patience import PATIENCE_S

RELEASE_ID, FORMAT = "rel-0001", "flac-16-44"
RELEASE = f"{RELEASE_ID}.{FORMAT}"


def write_album(folder: Path, sizes: dict[str, int], *, seed: int = 1) -> Path:
    """Files of random bytes, the same for one seed."""
    chance = random.Random(seed)
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, size, 1 << 20):
                file.write(chance.randbytes(min(1 << 20, size - start)))
    return folder


def digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "checksums.sha256":
            with path.open("rb") as file:
                found[str(path.relative_to(folder))] = hashlib.file_digest(
                    file, "sha256"
                ).hexdigest()
    return found


async def publish(network: Network, folder: Path, release_id: str = RELEASE_ID) -> None:
    await run(
        *("albumswarm-seeder", "publish", folder, "--release", release_id, "--format", FORMAT),
        *("--artist", "Sigur Rós", "--title", "Ágætis byrjun", "--year", "1999"),
        *("--data", network.seeder_data, "--origin", network.seeder_data / "origin"),
        *("--api-key-file", network.root / "publisher.key", *network.to_licensing),
    )


@dataclass
class Get:
    """A running `albumswarm get --json`."""

    process: trio.Process
    events: list[dict[str, Any]] = field(default_factory=list)
    changed: trio.Event = field(default_factory=trio.Event)
    errors: bytes = b""

    async def wait_event(self, name: str, at_least: int = 0) -> dict[str, Any]:
        """Wait for an event; for `progress`, until so many bytes are verified."""
        with trio.move_on_after(PATIENCE_S / 2):  # before the test does, which cannot say why
            return await self._event(name, at_least)
        pytest.fail(f"no {name} came after {self.events[-3:]}")

    async def _event(self, name: str, at_least: int) -> dict[str, Any]:
        while True:
            for event in self.events[::-1]:
                verified: int = event.get("verified_bytes", at_least)
                if event["event"] == name and verified >= at_least:
                    return event
            assert self.process.poll() is None, self.errors.decode()
            await self.changed.wait()

    @property
    def downloaded_bytes(self) -> int:
        """Payload of this run as last told."""
        last = [event for event in self.events if "from_seeders_bytes" in event][-1]
        return int(last["from_seeders_bytes"] + last["from_customers_bytes"])

    async def _read(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_errors)
            await self._read_events()
        await self.process.wait()
        self._notify()

    async def _read_events(self) -> None:
        assert self.process.stdout is not None
        pending = b""
        async for chunk in self.process.stdout:
            *lines, pending = (pending + chunk).split(b"\n")
            self.events += [json.loads(line) for line in lines]
            self._notify()

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        async for chunk in self.process.stderr:
            self.errors += chunk

    def _notify(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


@contextlib.asynccontextmanager
async def getting(customer: Customer, *options: str, upload_bytes_s: int = 0) -> AsyncIterator[Get]:
    """Run `albumswarm get --all` for a customer; it is killed when the block ends."""
    line = [*get_line(customer, upload_bytes_s), *options]
    process = await trio.lowlevel.open_process(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running = Get(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running._read)
            yield running
            nursery.cancel_scope.cancel()
    finally:
        await kill(process)


async def kill(process: trio.Process) -> None:
    """SIGKILL, and wait until it is gone."""
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    with trio.CancelScope(shield=True):
        await process.wait()
