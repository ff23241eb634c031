"""`albumswarm-licensing` as a process: commands that end, and one that serves."""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from licensing.config import load_licensing_config
from licensing.data_folder import DataFolder
from tests.integration.licensing.running import STORE, Running
from tests.patience import PATIENCE_S

COMMAND = (sys.executable, "-m", "licensing")


async def run(*arguments: str) -> tuple[int, str, str]:
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [*COMMAND, *arguments], capture_stdout=True, capture_stderr=True, check=False
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def init(data: Path, *more: str) -> tuple[int, str, str]:
    chosen = ("--store", "com.example.shop", "--listen", "localhost:0", "--test-store", STORE)
    return await run("init", "--data", str(data), *chosen, *more)


@contextlib.asynccontextmanager
async def serving(data: Path) -> AsyncIterator[tuple[trio.Process, Running]]:
    """A `serve` process, killed at the end if it still runs."""
    process = await trio.lowlevel.open_process(
        [*COMMAND, "serve", "--data", str(data)], stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        log = bytearray()
        with trio.fail_after(PATIENCE_S):
            while b'"serving"' not in log or not log.endswith(b"\n"):
                chunk = await process.stderr.receive_some()
                assert chunk, log.decode()
                log += chunk
        line = next(line for line in log.splitlines() if b'"serving"' in line)
        folder = DataFolder(data)
        config = load_licensing_config(data, None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_discard, process.stderr)
            yield process, Running(folder, config, json.loads(line)["address"])
            if process.returncode is None:
                process.kill()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def _discard(stream: trio.abc.ReceiveStream) -> None:
    async with stream:
        async for _ in stream:
            pass
