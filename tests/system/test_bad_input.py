"""What people get wrong at the command line: one clear line, the right exit code, nothing left."""

import os
import socket
from pathlib import Path

import pytest
import trio

from docs.demo.services import TEST_STORE, command, open_network, run
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki
from tests.system.shop import write_album

_KEY = "--api-key-file"


async def complaint(*line: str | Path, stdin: bytes = b"") -> tuple[int, str]:
    """Exit code and the one line on standard error."""
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            command(str(line[0]), *line[1:]),
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    said = done.stderr.decode()
    assert "Traceback" not in said
    lines = [text for text in said.splitlines() if "error: " in text]
    assert len(lines) == 1, said
    return done.returncode, lines[0]


async def test_folders_that_cannot_be_published(tmp_path: Path) -> None:
    async def publish(folder: Path) -> tuple[int, str]:
        return await complaint(
            *("albumswarm-seeder", "publish", folder, "--release", "r", "--format", "flac"),
            *("--data", tmp_path / "data", "--licensing-url", "https://localhost:1"),
            *(_KEY, tmp_path / "key"),
        )

    (tmp_path / "key").write_text("x")
    (tmp_path / "empty").mkdir()
    hostile = write_album(tmp_path / "hostile", {"a.flac": 10})
    Path(os.fsdecode(bytes(hostile) + b"/\xff.flac")).write_bytes(b"x")

    code, line = await publish(tmp_path / "missing")
    assert (code, str(tmp_path / "missing") in line) == (1, True)
    code, line = await publish(tmp_path / "empty")
    assert (code, "empty" in line and str(tmp_path / "empty") in line) == (1, True)
    code, line = await publish(hostile)
    assert (code, "UTF-8" in line) == (1, True)
    assert not list(tmp_path.rglob("*.torrent"))


@pytest.mark.parametrize(
    "line",
    [
        ("albumswarm", "list"),
        ("albumswarm-licensing", "serve"),
        ("albumswarm-tracker", "serve"),
        ("albumswarm-seeder", "serve"),
    ],
)
async def test_unknown_config_keys_are_named_with_their_file(
    tmp_path: Path, line: tuple[str, str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("speed = 9\n")
    data = tmp_path / "data"
    if line[0] == "albumswarm-licensing":
        await run("albumswarm-licensing", "init", "--data", data, "--store", "com.example.a")
    code, said = await complaint(*line, "--config", config, "--data", data)
    assert code == 2
    assert "speed" in said
    assert str(config) in said


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        await run("albumswarm-licensing", "init", "--data", tmp_path / "l", "--store", "a.b.c")
        code, said = await complaint(
            *("albumswarm-licensing", "serve", "--data", tmp_path / "l"),
            *("--listen", f"127.0.0.1:{port}"),
        )
    assert code == 2
    assert port in said


async def test_services_say_when_licensing_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0o600)
    away = ("--licensing-url", "https://localhost:1", "--data", tmp_path / "d")
    for line in (
        ("albumswarm-tracker", "serve", _KEY, tmp_path / "key", *away),
        ("albumswarm-seeder", "serve", _KEY, tmp_path / "key", *away, "--tracker", "https://t"),
        ("albumswarm", "list", *away),
        ("albumswarm", "redeem", "token", *away),
    ):
        code, said = await complaint(*line)
        assert code == 4, said
        assert "https://localhost:1" in said


async def test_a_customer_is_told_what_is_wrong_with_a_token_or_a_ca(tmp_path: Path) -> None:
    other_ca = tmp_path / "other-ca.pem"
    other_ca.write_text(SwarmPki().ca_pem)
    no_ca = tmp_path / "no-ca.pem"
    no_ca.write_text("hello")
    with trio.fail_after(PATIENCE_S):
        async with open_network(tmp_path / "net", seeder_upload_bytes_s=0) as network:
            data = tmp_path / "customer"
            code, said = await complaint(
                *("albumswarm", "redeem", "--data", data, *network.to_licensing),
                stdin=b"no.token.x",
            )
            assert (code, "payment token" in said) == (3, True)
            url = ("--licensing-url", network.licensing_url)
            code, said = await complaint(
                *("albumswarm", "list", "--data", tmp_path / "b", *url),
                *("--licensing-ca", other_ca),
            )
            assert (code, "certificate" in said) == (4, True)
            code, said = await complaint(
                *("albumswarm", "list", "--data", tmp_path / "c", *url, "--licensing-ca", no_ca)
            )
            assert (code, str(no_ca) in said or "PEM" in said) == (2, True)
            code, said = await complaint(
                "albumswarm", "get", "nothing.flac", "--data", data, *network.to_licensing
            )
            assert (code, "nothing.flac" in said) == (2, True)
    assert not (data / "licences").exists()
    assert TEST_STORE not in said
