"""The three services as real processes on loopback, made and ended by the demo."""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import trio
from ephemeral_port_reserve import reserve

from client_lib.durable import write_secret
from client_lib.nursery import open_quiet_nursery

STORE = "com.example.shop"
TEST_STORE = "testshop"
_START_S, _STOP_S = 120.0, 15.0
_BIN = Path(sys.executable).parent


class DemoError(Exception):
    """The demo itself could not go on."""


def command(name: str, *arguments: str | Path) -> list[str]:
    """Command line of one of our programs."""
    return [str(_BIN / name), *map(str, arguments)]


async def run(
    name: str, *arguments: str | Path, check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run one of our programs to its end and capture what it says."""
    line = command(name, *arguments)
    done = await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False)
    if check and done.returncode != 0:
        raise DemoError(f"{' '.join(line[:3])} …: {done.stderr.decode().strip()}")
    return done


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses and files of a running store."""

    root: Path
    licensing_url: str
    tracker_url: str
    seeder_port: int
    processes: dict[str, trio.Process] = field(default_factory=dict)
    """Running services by the name of their command."""

    async def kill(self, name: str) -> None:
        """End a service as a power cut would."""
        self.processes[name].kill()
        await self.processes[name].wait()

    @property
    def licensing_data(self) -> Path:
        """Licensing's folder."""
        return self.root / "licensing"

    @property
    def ca_file(self) -> Path:
        """The swarm CA, which also signed licensing's own certificate here."""
        return self.licensing_data / "swarm-ca.pem"

    @property
    def seeder_data(self) -> Path:
        """The seeder's folder."""
        return self.root / "seeder"

    @property
    def to_licensing(self) -> tuple[str | Path, ...]:
        """Options with which every program finds licensing."""
        return ("--licensing-url", self.licensing_url, "--licensing-ca", self.ca_file)

    def seeder_bytes(self) -> int:
        """Payload that the seeder has sent, by its own counters."""
        status = json.loads((self.seeder_data / "status.json").read_bytes())
        return int(status["uploaded_total_bytes"])


@contextlib.asynccontextmanager
async def open_network(root: Path, *, seeder_upload_bytes_s: int) -> AsyncIterator[Network]:
    """Found a store below `root` and run its services while the block lasts."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    licensing_port, tracker_port = reserve(), reserve()
    network = Network(
        root=root,
        licensing_url=f"https://localhost:{licensing_port}",
        tracker_url=f"https://localhost:{tracker_port}",
        seeder_port=reserve(),
    )
    folder = network.licensing_data
    await run(
        *("albumswarm-licensing", "init", "--data", folder, "--store", STORE),
        *("--public-url", network.licensing_url, "--tracker", network.tracker_url),
        *("--test-store", TEST_STORE),
    )
    async with contextlib.AsyncExitStack() as stack:

        async def start(name: str, *arguments: str | Path) -> None:
            running = service(root, name, "serve", *arguments)
            network.processes[name] = await stack.enter_async_context(running)

        await start("albumswarm-licensing", "--data", folder)
        for role in ("publisher", "seeder", "tracker"):
            host = ("--host", "localhost") if role == "tracker" else ()
            key = await run("albumswarm-licensing", "api-key", role, *host, "--data", folder)
            write_secret(root / f"{role}.key", key.stdout)
        await start(
            "albumswarm-tracker",
            *("--data", root / "tracker", *network.to_licensing),
            *("--api-key-file", root / "tracker.key", "--port", str(tracker_port)),
        )
        await start(
            "albumswarm-seeder",
            *("--data", network.seeder_data, *network.to_licensing),
            *("--api-key-file", root / "seeder.key", "--tracker", network.tracker_url),
            *("--port", str(network.seeder_port), "--listen-host", "127.0.0.1"),
            *("--upload-limit", str(seeder_upload_bytes_s)),
        )
        yield network


@contextlib.asynccontextmanager
async def service(root: Path, name: str, *arguments: str | Path) -> AsyncIterator[trio.Process]:
    """Run a service; the block begins when it serves and ends with SIGTERM to it."""
    process = await trio.lowlevel.open_process(command(name, *arguments), stderr=subprocess.PIPE)
    serving = trio.Event()
    try:
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(_keep_log, process, root / f"{name}.log", serving)
            with trio.move_on_after(_START_S):
                await serving.wait()
            if process.poll() is not None or not serving.is_set():
                log = (root / f"{name}.log").read_text()[-2000:]
                raise DemoError(f"{name} did not start:\n{log}")
            yield process
            nursery.cancel_scope.cancel()
    finally:
        if process.poll() is None:
            process.terminate()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(_STOP_S):
                await process.wait()
            if process.poll() is None:
                process.kill()
                await process.wait()


async def _keep_log(process: trio.Process, path: Path, serving: trio.Event) -> None:
    """Write what the service says into a file; tell when it serves, or has ended."""
    if process.stderr is None:
        raise DemoError("no pipe")
    with path.open("ab", buffering=0) as log:
        async for chunk in process.stderr:
            log.write(chunk)
            if b'"serving"' in chunk:
                serving.set()
    serving.set()
