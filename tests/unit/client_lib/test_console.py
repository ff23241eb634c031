"""How the commands end: real processes, their exit codes and what they say."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
import signal
import os, signal, sys
import trio
from client_lib.console import arguments_or_input, new_app, print_json, print_text, run_app
from client_lib.errors import *

app = new_app("albumswarm-tiny", "A tiny command.", "1.2.3")

@app.command
async def ok(count: int = 1):
    print_json({"count": count})

@app.command
async def fail(kind: str):
    await trio.lowlevel.checkpoint()
    raise {
        "storage": StorageError("cannot\\nwrite  /x:\\x1b[31m full"),
        "usage": UsageError("do it otherwise"),
        "refused": LicensingRefused("urn:x", 409, "already redeemed"),
        "unreachable": UnreachableError("https://h", "no answer in time"),
        "bug": ValueError("a bug of ours"),
    }[kind]

@app.command
async def group(kinds: tuple[str, ...]):
    errors = []
    for kind in kinds:
        try:
            await fail(kind)
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("outer", [ExceptionGroup("inner", errors)])

@app.command
async def interrupt():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        print("waiting", flush=True)

@app.command
async def chatter():
    for _ in range(100_000):
        print_text("x" * 80)

@app.command
async def read(*words: str):
    print_json(arguments_or_input(words, "payment token"))

# A shell's background jobs, and all that they start, ignore it otherwise.
signal.signal(signal.SIGINT, signal.default_int_handler)
run_app(app)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app") / "tiny.py"
    path.write_text(APP)
    return path


def run(script: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, script, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_result_is_json_on_standard_output(script: Path) -> None:
    done = run(script, "ok", "--count", "3")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"count": 3}, b"")
    assert run(script, "--version").stdout == b"1.2.3\n"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "line"),
    [
        (["fail", "storage"], 1, "cannot write /x:\ufffd[31m full"),
        (["fail", "usage"], 2, "do it otherwise"),
        (["fail", "refused"], 3, "already redeemed"),
        (["fail", "unreachable"], 4, "https://h: no answer in time"),
        (["group", "unreachable"], 4, "https://h: no answer in time"),
        (["group", "refused", "refused"], 3, "already redeemed"),
        (["read"], 2, "no payment token: standard input is empty"),
    ],
)
def test_error_of_ours_is_one_line_and_its_exit_code(
    script: Path, arguments: list[str], exit_code: int, line: str
) -> None:
    done = run(script, *arguments)
    assert done.stderr.decode() == f"albumswarm-tiny: error: {line}\n"
    assert (done.returncode, done.stdout) == (exit_code, b"")


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["ok", "--bogus"], ["ok", "--count", "many"], ["fail"]]
)
def test_usage_error_is_one_line_and_2(script: Path, arguments: list[str]) -> None:
    done = run(script, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(b"albumswarm-tiny: error: ")
    assert done.stderr.endswith(b"(see albumswarm-tiny --help)\n")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "arguments", [["fail", "bug"], ["group", "bug"], ["group", "bug", "usage"]]
)
def test_bug_shows_its_traceback(script: Path, arguments: list[str]) -> None:
    done = run(script, *arguments)
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"ValueError: a bug of ours" in done.stderr


def test_interrupted_command_ends_quietly_with_130(script: Path) -> None:
    with subprocess.Popen(
        [sys.executable, script, "interrupt"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, b"")


def test_reader_who_leaves_early_causes_no_noise(script: Path) -> None:
    with subprocess.Popen(
        [sys.executable, script, "chatter"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 130


def test_secrets_may_come_from_standard_input(script: Path) -> None:
    done = run(script, "read", stdin=b"token-1\n\ntoken-2\n")
    assert json.loads(done.stdout) == ["token-1", "token-2"]
    assert run(script, "read", stdin=b"\xff\xfe").returncode == 1
