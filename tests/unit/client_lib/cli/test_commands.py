"""The command line as a process: its help, and what it says to bad input."""

import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from client_lib.cli.app import COMMANDS
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState, Service
from client_lib.wire.licensing_api import Library, LicenceState
from tests.pki import SwarmPki
from tests.unit.client_lib.download.licences import licence

NOWHERE = "https://localhost:1"  # tcpmux: nobody listens
COMMON = ["--config", "--data", "--licensing-url", "--licensing-ca", "--passphrase-file", "--json"]
LINE = ["--port", "--listen-host", "--upload-limit", "--download-limit", "--limit-local-peers"]
LINE += ["--no-upload", "--no-port-mapping", "--seed-until"]


def albumswarm(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if "ALBUMSWARM" not in key}
    return subprocess.run(
        [sys.executable, "-m", "client_lib", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env={**environment, "COLUMNS": "200"},
    )


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("redeem", COMMON),
        ("list", [*COMMON, "--offline"]),
        ("get", [*COMMON, *LINE, "--all", "--into", "--seed", "--play-first", "--folder-template"]),
        ("seed", [*COMMON, *LINE]),
        ("verify", COMMON),
        ("stats", COMMON),
        ("repair", [*COMMON, *LINE]),
        ("balance", COMMON),
        ("quote", COMMON),
        ("buy", [*COMMON, "--currency"]),
        ("export", [*COMMON, "--to"]),
        ("protect", [*COMMON, "--keyring"]),
        ("unprotect", COMMON),
    ],
)
def test_help_names_every_option(command: str, options: list[str]) -> None:
    done = albumswarm(command, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert [option for option in options if option not in text] == []


def test_help_says_what_the_docstring_says() -> None:
    """It is written twice, because help must not load what a command needs."""
    for name, (where, words) in COMMANDS.items():
        module, _, function = where.partition(":")
        command = getattr(importlib.import_module(f"client_lib.cli.{module}"), function)
        assert inspect.getdoc(command) == words.strip(), name


def test_command_alone_shows_its_commands_and_exit_codes() -> None:
    text = albumswarm().stdout.decode()
    for word in ("redeem", "list", "get", "seed", "verify", "Exit codes"):
        assert word in text


Prepare = Callable[[Path], list[str]]


def _config(text: str, *command: str) -> Prepare:
    def prepare(folder: Path) -> list[str]:
        (folder / "c.toml").write_text(text)
        return [*(command or ["list"]), "--config", str(folder / "c.toml")]

    return prepare


def _file(folder: Path, content: bytes) -> str:
    (folder / "file").write_bytes(content)
    return str(folder / "file")


BAD_INPUT: dict[str, tuple[Prepare, int, str]] = {
    "no service yet": (lambda _: ["list"], 2, "--licensing-url"),
    "unknown option": (lambda _: ["list", "--bogus"], 2, "--bogus"),
    "unknown command": (lambda _: ["lisst"], 2, "lisst"),
    "port no number": (lambda _: ["get", "--all", "--port", "x"], 2, "--port"),
    "port out of range": (lambda _: ["get", "--all", "--port", "70000"], 2, "70000"),
    "listen on a name": (lambda _: ["get", "--all", "--listen-host", "localhost"], 2, "localhost"),
    "negative limit": (lambda _: ["get", "--all", "--upload-limit", "-5"], 2, "-5"),
    "limit without number": (lambda _: ["get", "--all", "--down", "fast"], 2, "--down: 'fast'"),
    "limit of no line": (lambda _: ["get", "--all", "--up", "3GB"], 2, "3000000000"),
    "limit in the file": (
        _config("upload_limit = '4 elephants'", "get", "--all"), 2, "upload_limit: '4 elephants'",
    ),
    "rate of a schedule": (
        _config('[[schedule]]\nfrom = "08:00"\nto = "18:00"\nup = "x"'), 2, "c.toml: key schedule",
    ),
    "nothing named": (lambda _: ["get"], 2, "--all"),
    "named and all": (lambda _: ["get", "rel-1", "--all"], 2, "--all"),
    "plain http": (lambda _: ["list", "--licensing-url", "http://shop.example"], 2, "https://"),
    "no url": (lambda _: ["list", "--licensing-url", "https://[::1"], 2, "https://[::1"),
    "nobody there": (lambda _: ["list", "--licensing-url", NOWHERE], 4, NOWHERE),
    "no token": (lambda _: ["redeem", "--licensing-url", NOWHERE], 2, "payment token"),
    "no home": (lambda _: ["list", "--data", "~no-such-user/x"], 2, "~no-such-user"),
    "data under a file": (lambda f: ["list", "--data", _file(f, b"") + "/x"], 1, "file/x"),
    "no configuration": (lambda f: ["list", "--config", str(f / "no.toml")], 2, "no.toml"),
    "configuration no text": (lambda f: ["list", "--config", _file(f, b"\xff")], 2, "UTF-8"),
    "unknown key": (_config("prot = 1"), 2, "c.toml: unknown key `prot`"),
    "key of the wrong type": (_config("port = 'x'"), 2, "c.toml: key port"),
    "key out of range": (_config("port = 70000"), 2, "c.toml: key port"),
    "CA file with a NUL": (_config(f'licensing_url = "{NOWHERE}"\nlicensing_ca = "a\\u0000b"'), 1,
                           "cannot read"),
    "no CA file": (lambda f: ["list", "--licensing-ca", str(f / "no.pem")], 1, "no.pem"),
    "empty CA file": (
        lambda f: ["list", "--licensing-url", NOWHERE, "--licensing-ca", _file(f, b"")], 2, "file",
    ),
    "CA file of something else": (
        lambda f: ["list", "--licensing-url", NOWHERE, "--licensing-ca", _file(f, b"x")], 2, "file",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("prepare", "exit_code", "said"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line_and_the_right_exit_code(
    tmp_path: Path, prepare: Prepare, exit_code: int, said: str
) -> None:
    arguments = prepare(tmp_path)
    if "--data" not in arguments:
        arguments += ["--data", str(tmp_path / "data")]
    done = albumswarm(*arguments)
    line = done.stderr.decode()
    assert line.startswith("albumswarm: error: ")
    assert said in line
    assert line.count("\n") == 1
    assert done.returncode == exit_code
    assert done.stdout == b""
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"c.toml", "file", "device.secret"}


@pytest.fixture
def device(tmp_path: Path) -> DeviceLibrary:
    """A device that has bought two albums, with licensing away; one is here, and one revoked."""
    library = DeviceLibrary(tmp_path / "data")
    library.keep_service(Service(NOWHERE, SwarmPki().ca_pem, SwarmPki().ca_pem))
    revoked = licence("rel-2.mp3-320", number=2, title="B\x1b[2J", state=LicenceState.REVOKED)
    library.keep_licences(Library((licence(), revoked)))
    record = DownloadRecord(DownloadState.COMPLETE, "/p", str(tmp_path / "Artist" / "Album"))
    library.keep_download(licence().licence_id, record)
    return library


def test_list_works_while_licensing_is_away(device: DeviceLibrary) -> None:
    for extra in ([], ["--offline"]):
        done = albumswarm("list", "--data", str(device.folder), *extra)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"Artist - Album" in done.stdout
        assert b"revoked" in done.stdout
        assert b"\x1b" not in done.stdout
    done = albumswarm("list", "--data", str(device.folder), "--json")
    listed = json.loads(done.stdout)["licences"]
    assert [entry["licence"]["name"] for entry in listed] == ["rel-1.flac-24-96", "rel-2.mp3-320"]
    assert [entry["folder"] is None for entry in listed] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["get", "rel-9"], 2, "no licence for 'rel-9'"),
        (["get", "rel-2"], 3, "rel-2.mp3-320: this licence was revoked"),
        (["verify", "rel-2"], 2, "rel-2.mp3-320: not downloaded here yet"),
        (["seed", "rel-2"], 2, "no complete album"),
        (["redeem", "token"], 4, NOWHERE),
    ],
)
def test_what_cannot_be_done_is_told(
    device: DeviceLibrary, arguments: list[str], exit_code: int, said: str
) -> None:
    done = albumswarm(*arguments, "--data", str(device.folder))
    assert said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert done.returncode == exit_code


def test_token_and_secret_show_up_nowhere(device: DeviceLibrary) -> None:
    secret = device.device_secret().bearer
    done = albumswarm("redeem", "--data", str(device.folder), stdin=b"very.secret.token\n")
    assert done.returncode == 4
    assert b"very.secret.token" not in done.stdout + done.stderr
    assert secret.encode() not in done.stdout + done.stderr
