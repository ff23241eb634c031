"""README and how-tos are run as a newcomer would: every marked block, in order, for real.

    ```sh run              run it; it must succeed
    ```sh run exits=3      run it; its last command must end with that exit code
    ```sh run needs=A,B    left out where the machine has not all of these tools
    ```sh serve            run it beside the others, and wait until it says "serving"
    ```text output         lines that the block before it must have printed, … for anything
    ```python file=NAME    a file that the commands use

The ports of the text are replaced by free ones, so that several tests can run side by side. What a
document leaves in the background ends with its test.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from ephemeral_port_reserve import reserve

from seeder.encoding.process_group import open_process_group
from tests.architecture.documents import ROOT, Block, blocks
from tests.patience import PATIENCE_S

_PORTS = ("8443", "8444", "8445", "6881", "9101")


def runnable(path: Path) -> list[Block]:
    return [
        block for block in blocks(path) if set(_marks(block)) & {"run", "serve", "output", "file"}
    ]


def _marks(block: Block) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in block.words)}


DOCUMENTS = [
    path
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "docs" / "how-to").glob("*.md")),
        *sorted((ROOT / "docs" / "deploy").glob("*.md")),
    )
    if runnable(path)
]


def test_readme_and_how_to_have_something_to_run() -> None:
    assert {path.name for path in DOCUMENTS} >= {"README.md", "sell-and-fetch-by-hand.md"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
async def test_documented_commands_work(path: Path, tmp_path: Path) -> None:
    ports = {port: str(reserve()) for port in _PORTS}
    printed = ""
    async with open_process_group() as group, contextlib.AsyncExitStack() as stack:
        for block in runnable(path):
            where = f"{path.name}:{block.line}"
            script = re.sub("|".join(_PORTS), lambda port: ports[port[0]], block.text)
            marks = _marks(block)
            if not all(map(shutil.which, marks.get("needs", "sh").split(","))):
                printed = ""
            elif "file" in marks:
                (tmp_path / marks["file"]).write_text(script)
            elif "serve" in marks:
                await stack.enter_async_context(_serving(script, tmp_path, where, group))
            elif "run" in marks:
                exits = int(marks.get("exits", "0"))
                printed = await _run(script, tmp_path, where, exits, group)
            elif printed:
                _require_lines(block.text, printed, where)


async def _run(script: str, folder: Path, where: str, exits: int, group: int) -> str:
    out, err = folder.with_name("out"), folder.with_name("err")
    returncode = None
    with out.open("wb") as stdout, err.open("wb") as stderr, trio.move_on_after(PATIENCE_S):
        done = await trio.run_process(
            ["sh", "-eu", "-c", script],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            check=False,
            process_group=group,
        )
        returncode = done.returncode
    printed = out.read_text()
    told = printed + err.read_text()
    assert returncode is not None, f"{where}: it does not end\n{script}\n{told}"
    assert returncode == exits, f"{where}: exit {returncode}\n{script}\n{told}"
    assert "Traceback" not in told, f"{where}\n{told}"
    return printed


@contextlib.asynccontextmanager
async def _serving(script: str, folder: Path, where: str, group: int) -> AsyncIterator[None]:
    process = await trio.lowlevel.open_process(
        ["sh", "-c", f"exec {script}"],
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=group,
    )
    log = process.stderr
    assert log is not None
    said = bytearray()
    try:
        with trio.fail_after(PATIENCE_S):
            while b'"serving"' not in said:
                chunk = await log.receive_some()
                assert chunk, f"{where}: it ended\n{said.decode()}"
                said += chunk
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, log, said)
            yield
            process.terminate()
            with trio.fail_after(PATIENCE_S):
                ended = await process.wait()
            # One that a command of the page told to leave may be past listening to signals.
            left = ended == -signal.SIGTERM and b'"stopped"' in said
            assert ended == 0 or left, f"{where}: exit {ended}"
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
    assert b"Traceback" not in said, f"{where}\n{said.decode()}"


async def _drain(log: trio.abc.ReceiveStream, said: bytearray) -> None:
    async for chunk in log:
        said += chunk


def _require_lines(expected: str, printed: str, where: str) -> None:
    for line in expected.splitlines():
        pattern = ".*".join(map(re.escape, line.split("…")))
        assert re.search(f"^{pattern}$", printed, re.MULTILINE), f"{where}: {line}\n{printed}"


def _environment(folder: Path) -> dict[str, str]:
    """A newcomer's: our commands on the path, a home without anything in it."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PYTHONUTF8": "1", **kept, "PATH": path, "HOME": str(folder)}
