"""Licensing and tracker as real processes: the certificate, its swarm, its revocation."""

import base64
import contextlib
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from client_lib.errors import AnnounceRefused
from client_lib.transport.licensing_client import open_licensing
from client_lib.wire import certificates
from client_lib.wire.licensing_api import Publication
from client_lib.wire.release import Album, AudioFormat, ReleaseId
from tests.integration.tracker.rig import Reachable
from tests.integration.tracker.test_libtorrent_clients import NAME, sealed_torrent
from tests.patience import PATIENCE_S
from tests.pki import Leaf, licence_identity
from tracker.config import TrackerConfig

CRL_POLL_S = 0.5


async def run(*arguments: str) -> str:
    """Run one of our commands to its end; its standard output."""
    done = await trio.run_process([sys.executable, "-m", *arguments], capture_stdout=True)
    return done.stdout.decode().strip()


@contextlib.asynccontextmanager
async def service(*arguments: str) -> AsyncIterator[str]:
    """A service as a process; the address that it serves at."""

    async def start(task_status: trio.TaskStatus[trio.Process]) -> None:
        await trio.run_process(
            [sys.executable, "-m", *arguments],
            stderr=subprocess.PIPE,
            check=False,
            task_status=task_status,
        )

    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(start)
        assert process.stderr is not None
        log = b""
        while b'"serving"' not in log or not log.endswith(b"\n"):
            more = await process.stderr.receive_some()
            assert more, log.decode()
            log += more
        (serving,) = [json.loads(line) for line in log.splitlines() if b'"serving"' in line]
        nursery.start_soon(_drain, process.stderr)  # a full pipe would stop the service
        yield serving["address"]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def _drain(log: trio.abc.ReceiveStream) -> None:
    async for _ in log:
        pass


async def test_a_sold_licence_opens_its_swarm_until_it_is_revoked(tmp_path: Path) -> None:
    data = str(tmp_path / "licensing")
    key_file = tmp_path / "tracker.key"
    with trio.fail_after(PATIENCE_S):
        await run(
            *("licensing", "init", "--data", data, "--store", "com.example.shop"),
            *("--listen", "localhost:0", "--test-store", "teststore"),
        )
        ca_file = tmp_path / "licensing" / "swarm-ca.pem"
        ca_pem = ca_file.read_text()
        publisher = await run("licensing", "api-key", "publisher", "--data", data)
        key_file.touch(mode=0o600)
        key_file.write_text(
            await run("licensing", "api-key", "tracker", "--host", "localhost", "--data", data)
        )
        config = tmp_path / "tracker.toml"
        config.write_text(f'host = "localhost"\nport = 0\ncrl_poll_s = {CRL_POLL_S}\n')
        async with (
            service("licensing", "serve", "--data", data) as licensing_address,
            service(
                *("tracker", "serve", "--data", str(tmp_path / "tracker")),
                *("--config", str(config), "--licensing-url", f"https://{licensing_address}"),
                *("--licensing-ca", str(ca_file), "--api-key-file", str(key_file)),
            ) as tracker_address,
        ):
            url = f"https://{licensing_address}"
            torrent = sealed_torrent(tmp_path / "album", ca_pem)
            release_id, _, audio_format = NAME.partition(".")
            async with open_licensing(url, ca_pem=ca_pem, bearer=publisher) as shop:
                publication = Publication(Album("An Artist", "A Title"), torrent)
                await shop.publish(ReleaseId(release_id), AudioFormat(audio_format), publication)
            mint = ("licensing", "mint-token", "--data", data, "--customer", "c1", "--item", NAME)
            device = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
            async with open_licensing(url, ca_pem=ca_pem, bearer=device) as customer:
                (licence,) = (await customer.redeem(await run(*mint))).licences
                key = certificates.new_key()
                answer = await customer.licence_certificate(
                    licence.licence_id, certificates.make_csr(key)
                )
            leaf = Leaf(certificates.load_certificate(answer.certificate), key)

            port = int(tracker_address.rpartition(":")[2])
            tracker = Reachable(tmp_path, ca_pem, port)
            assert (await tracker.announce(leaf, left_bytes=0)).complete == 1
            other = licence_identity().licence_id
            with pytest.raises(AnnounceRefused, match=r"^other-licence: "):
                await tracker.announce(leaf, member_id=other)
            await run("licensing", "revoke", "--licence", licence.licence_id, "--data", data)
            # 10 s from revocation to refusal is the promise; 5 s of them are for the poll, which
            # is quicker here.
            with trio.fail_after(10 - TrackerConfig().crl_poll_s + CRL_POLL_S):
                async with tracker.connected(leaf) as client:
                    with pytest.raises(AnnounceRefused, match=r"^revoked: "):
                        await client.announce_until_refused(leaf)
