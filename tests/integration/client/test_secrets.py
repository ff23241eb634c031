"""Device secret, token, keys and passphrase are in nothing that the command says."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from tests.integration.client.rig import NAME, Album
from tests.integration.client.shop import Shop
from tests.patience import PATIENCE_S
from tests.unit.client_lib.transport.https_server import HttpsServer, https_server

TOKEN = "eyJhbGciOiJFZERTQSJ9.c3RvcmUtdG9rZW4.c2lnbmF0dXJl"
PASSPHRASE = "correct horse battery staple"
_BUG = """
import sys, traceback
import client_lib.transport.http as http
from client_lib.__main__ import main

def bug(self, *_):
    raise ValueError("a bug of ours")

http._Connection.exchange = bug
sys.argv = ["albumswarm", *sys.argv[1:]]
main()
"""


class Command:
    """Runs commands of one device, and hears everything that they say."""

    def __init__(self, server: HttpsServer, folder: Path, ca_pem: str) -> None:
        self.data = folder / "data"
        self.said = b""
        ca = folder / "ca.pem"
        ca.write_text(ca_pem)
        self._service = ["--licensing-url", server.url, "--licensing-ca", str(ca)]

    async def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "client_lib"),
        exits: int = 0,
    ) -> bytes:
        named = () if arguments[0] in {"protect", "unprotect"} else self._service
        done = await trio.run_process(
            [sys.executable, *program, *arguments, "--data", str(self.data), *named],
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, **(environment or {})},
        )
        self.said += done.stdout + done.stderr
        assert done.returncode == exits, (arguments, done.stderr.decode())
        return bytes(done.stdout)


def secrets_of(data: Path) -> list[bytes]:
    """Everything secret below a data folder that is in the clear there."""
    found = [(data / "device.secret").read_bytes()]
    for path in data.glob("licences/*/credential.pem"):
        found += path.read_bytes().partition(b"-----END PRIVATE")[0].split(b"\n")[1:-1]
    return found


async def test_no_command_says_a_secret(tmp_path: Path) -> None:
    shop = Shop(Album(tmp_path / "origin"))
    shop.sell()
    passphrase_file = tmp_path / "passphrase"
    passphrase_file.write_text(PASSPHRASE + "\n")
    with trio.fail_after(PATIENCE_S):
        async with https_server(shop.album.pki, tmp_path, shop.answer) as server:
            command = Command(server, tmp_path, shop.album.pki.ca_pem)
            await command.run("redeem", stdin=TOKEN.encode())
            await command.run("list", "--json")
            exported = json.loads(
                await command.run("export", NAME, "--to", str(tmp_path / "out"), "--json")
            )
            assert Path(exported["folder"]) == tmp_path / "out" / NAME
            secrets = [*secrets_of(command.data), TOKEN.encode(), PASSPHRASE.encode()]
            assert len(secrets) >= 5
            await command.run("list", program=("-c", _BUG), exits=1)
            assert b"a bug of ours" in command.said

            given = ("--passphrase-file", str(passphrase_file))
            await command.run("protect", *given, "--json")
            await command.run("list", exits=2)
            await command.run("list", environment={"ALBUMSWARM_PASSPHRASE": "wrong"}, exits=2)
            await command.run("list", "--json", environment={"ALBUMSWARM_PASSPHRASE": PASSPHRASE})
            shop.away = True
            await command.run("redeem", *given, stdin=TOKEN.encode(), exits=4)
            await command.run("unprotect", *given)
            assert secrets_of(command.data) == secrets[:-2]
    assert not [secret for secret in secrets if secret in command.said]
    assert b"the passphrase is wrong" in command.said
    assert f"{command.data} is protected".encode() in command.said


@pytest.mark.parametrize("argument", [f"--passphrase={PASSPHRASE}", f"--keyring={PASSPHRASE}"])
def test_passphrase_is_no_argument(tmp_path: Path, argument: str) -> None:
    """Arguments are in `ps`, for everybody on the machine."""
    done = subprocess.run(
        [sys.executable, "-m", "client_lib", "protect", argument, "--data", str(tmp_path / "data")],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert not list(tmp_path.rglob("device.secret"))
