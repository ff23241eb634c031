"""The programs of the guides, and the JSON lines of the commands, as processes on a real shop."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from client_lib.wire.licensing_api import (
    Balance,
    BalanceAnswer,
    FormatQuote,
    PurchaseAnswer,
    ReleaseQuote,
)
from client_lib.wire.money import Money
from tests.architecture.documents import ROOT
from tests.integration.client.market import Market, market
from tests.patience import PATIENCE_S
from tests.unit.client_lib.cli.json_lines import require_answer, require_event
from tests.unit.client_lib.transport.https_server import Request, http, https_server

EXAMPLES = ROOT / "docs" / "how-to" / "examples"
PROGRAMS = [
    "asyncio_app.py",
    "embed.py",
    "gui_thread.py",
    "play.py",
    "player.py",
    "progress_bar.py",
]
FILES = {"01 one.flac": 400_000, "cover.jpg": 50_000}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Market]:
    async with market(tmp_path / "market", [FILES] * 2) as opened:
        yield opened


async def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with trio.fail_after(PATIENCE_S):
        return await trio.run_process(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path, "HOME": str(folder), "PYTHONUTF8": "1"},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )


async def test_the_programs_of_the_guides_fetch_albums(shop: Market, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(shop.shop.album.pki.ca_pem)

    async def fetch(program: str) -> None:
        folder = tmp_path / program
        folder.mkdir()
        arguments = (shop.server.url, ca, "token")
        done = await run(folder, sys.executable, EXAMPLES / program, *arguments)
        assert done.returncode == 0, (program, done.stderr.decode())
        assert b"Album 2" in done.stdout, program
        there = {path.name for path in (folder / "music" / "Artist").glob("Album 1*/*")}
        assert there >= set(FILES), program

    async with trio.open_nursery() as nursery:
        for program in PROGRAMS:
            nursery.start_soon(fetch, program)
    shown = {path.name for path in EXAMPLES.glob("*.py")}
    assert shown == {*PROGRAMS, "read_json_lines.py", "test_embedding.py"}
    # The test of the guide, by pytest as an embedder would run it.
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
    done = await run(
        tmp_path,
        sys.executable,
        "-m",
        "pytest",
        "-q",
        EXAMPLES / "test_embedding.py",
        "-c",
        "pytest.ini",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:schemathesis",
    )
    assert done.returncode == 0, done.stdout.decode()


async def test_lines_of_real_commands_fit_their_schema(shop: Market, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(shop.shop.album.pki.ca_pem)
    one, two = shop.licences

    def answer(request: Request) -> bytes | None:
        match request.method, request.path:
            case "GET", "/v1/balance":
                credit = BalanceAnswer((Balance("shop", "alice", "EUR", 700),))
                return http(200, msgspec.json.encode(credit))
            case "GET", "/v1/releases/rel-0001":
                offered = FormatQuote(one.name, one.format, one.size_bytes, (Money(400, "EUR"),))
                quote = ReleaseQuote(one.release_id, (offered,))
                return http(200, msgspec.json.encode(quote))
            case "POST", "/v1/purchases":
                bought = PurchaseAnswer(
                    one,
                    "p-1",
                    already_owned=True,
                    charged_minor=0,
                    balance_minor=700,
                    currency="EUR",
                )
                return http(201, msgspec.json.encode(bought))
        return shop.shop.answer(request)

    (tmp_path / "till").mkdir()
    async with https_server(shop.shop.album.pki, tmp_path / "till", answer) as till:
        config = tmp_path / "c.toml"
        config.write_text(f'licensing_url = "{till.url}"\nlicensing_ca = "{ca}"\n')
        common = ("--json", "--config", str(config), "--data", "device")

        async def lines(*command: str, exits: int = 0) -> list[dict[str, object]]:
            done = await run(tmp_path, "albumswarm", *command, *common)
            assert done.returncode == exits, (command, done.stderr.decode())
            return [json.loads(line) for line in done.stdout.splitlines()]

        async def one_line(*command: str, name: str = "", exits: int = 0) -> None:
            (line,) = await lines(*command, exits=exits)
            require_answer(name or command[0], line)

        await one_line("redeem", "token")
        shop.shop.revoked.add(two.licence_id)
        said = await lines("get", "--all", "--into", "music", "--listen-host", "127.0.0.1", exits=3)
        for line in said:
            require_event(line)
        kinds = [line["event"] for line in said]
        assert {"queued", "started", "progress", "verified", "finished", "failed"} < set(kinds)
        assert kinds[-1] == "summary"
        assert (said[-1]["done"], said[-1]["exit_code"]) == ([one.name], 3)
        for damaged in (tmp_path / "music" / "Artist").glob("Album 1*/cover.jpg"):
            damaged.write_bytes(b"")
        await one_line("verify", exits=1)
        *events, repaired = await lines("repair", "--listen-host", "127.0.0.1")
        require_answer("repair", repaired)
        for line in events:
            require_event(line)
        async with trio.open_nursery() as nursery:
            for command in (
                ("list",),
                ("export", one.name, "--to", "exported"),
                ("stats",),
                ("balance",),
                ("quote", "rel-0001"),
                ("buy", one.name, "--currency", "EUR"),
            ):
                nursery.start_soon(one_line, *command)
        await one_line("queue", "show", name="queue show")
        assert await lines("queue", "remove", two.name) == []
        program = EXAMPLES / "read_json_lines.py"
        done = await run(tmp_path, sys.executable, program, *common[1:], "--into", "music")
        assert b"1 done, 1 failed" in done.stdout, done
        assert done.returncode == 3
        (tmp_path / "words").write_text("a passphrase")
        await one_line("protect", "--passphrase-file", "words")
        await one_line("unprotect", "--passphrase-file", "words")
