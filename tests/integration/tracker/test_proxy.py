"""The plain front end, alone and behind the proxies of docs/deploy."""

import base64
import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding
from ephemeral_port_reserve import reserve

from client_lib.errors import AnnounceRefused, UsageError
from client_lib.wire.announce_answer import AnnounceResponse
from client_lib.wire.certificates import HostIdentity
from tests.architecture.documents import ROOT
from tests.integration.tracker.rig import (
    Client,
    FakeLicensing,
    Reachable,
    Rig,
    announce_head,
    running_tracker,
    until_closed,
)
from tests.pki import Leaf, SwarmPki, licence_identity
from tracker.serving.listening import open_plain_sockets

DEPLOY = ROOT / "docs" / "deploy"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose sockets fit into the 108 bytes of a Unix address, open to a proxy's user."""
    with tempfile.TemporaryDirectory(prefix="aw-") as folder:
        yield Path(folder)


@pytest.fixture
def pki() -> SwarmPki:
    return SwarmPki()


@pytest.fixture
async def rig(tmp_path: Path, short: Path, pki: SwarmPki) -> AsyncIterator[Rig]:
    listen = (f"unix:{short}/t.sock",)
    async with running_tracker(tmp_path, FakeLicensing(pki), plain_listen=listen) as running:
        yield running


def licence(pki: SwarmPki, number: int = 1) -> Leaf:
    return pki.issue(licence_identity(number=number))


def der(leaf: Leaf) -> bytes:
    return leaf.certificate.public_bytes(Encoding.DER)


def proxied(leaf: Leaf, *fields: bytes, asker: Leaf | None = None) -> bytes:
    """An announce by `asker` (its path), as a proxy forwards it for the certificate `leaf`."""
    certificate = b"Client-Cert: :" + base64.b64encode(der(leaf)) + b":"
    head = announce_head(asker or leaf, left_bytes=0)
    told = fields or (certificate, b"X-Forwarded-For: 192.0.2.7")
    return head[:-2] + b"".join(field + b"\r\n" for field in told) + b"\r\n"


@dataclass
class Plain:
    """A client without TLS."""

    stream: trio.SocketStream

    async def request(self, raw: bytes) -> tuple[int, bytes]:
        await self.stream.send_all(raw)
        return await Client(self.stream).response()  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def plain(path: Path) -> AsyncIterator[Plain]:
    async with await trio.open_unix_socket(path) as stream:
        yield Plain(stream)


async def test_a_proxy_s_client_is_who_the_proxy_says_and_where_it_says(
    rig: Rig, short: Path
) -> None:
    async with plain(short / "t.sock") as proxy:
        for number, address in ((1, "192.0.2.7"), (2, "2001:db8::7"), (1, "192.0.2.7")):
            leaf = licence(rig.pki, number)
            cert = b"Client-Cert: :" + base64.b64encode(der(leaf)) + b":"
            forwarded = f"X-Forwarded-For: 10.0.0.1, {address}".encode()
            status, body = await proxy.request(proxied(leaf, cert, forwarded))
            assert status == 200
            assert str(AnnounceResponse.decode(body).external_address) == address


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((b"X-Forwarded-For: 192.0.2.7",), 403),
        ((b"Client-Cert: :AA==:",), 400),
        ((b"Client-Cert: AA==", b"X-Forwarded-For: 192.0.2.7"), 400),
        ((b"Client-Cert: :AA==:", b"Client-Cert: :AA==:", b"X-Forwarded-For: 192.0.2.7"), 400),
    ],
)
async def test_a_proxy_that_tells_too_little_or_too_much_is_refused(
    rig: Rig, short: Path, fields: tuple[bytes, ...], status: int
) -> None:
    async with plain(short / "t.sock") as proxy:
        found, _ = await proxy.request(proxied(licence(rig.pki), *fields))
        assert found == status
        assert await until_closed(proxy.stream) == b""


async def test_a_certificate_that_a_proxy_should_not_have_accepted_is_refused_all_the_same(
    rig: Rig, short: Path
) -> None:
    async with plain(short / "t.sock") as proxy:
        _, body = await proxy.request(proxied(licence(SwarmPki())))
        assert b"certificate: " in body
        cert = (b"Client-Cert: :AAAA:", b"X-Forwarded-For: 192.0.2.7")
        _, body = await proxy.request(proxied(licence(rig.pki), *cert))
        assert b"certificate: " in body


async def test_over_tls_nobody_claims_a_certificate(rig: Rig) -> None:
    leaf = licence(rig.pki)
    async with rig.connected(leaf) as client:
        status, body = await client.request(proxied(leaf))
    assert (status, body) == (400, b"Client-Cert is for proxies, which connect elsewhere\n")


async def test_an_address_that_is_not_trusted_is_refused_whatever_it_claims(
    tmp_path: Path, pki: SwarmPki
) -> None:
    port = reserve()
    listen = (f"127.0.0.1:{port}",)
    leaf = licence(pki)
    for trusted, status in ((("192.0.2.0/24",), 403), (("127.0.0.0/8",), 200)):
        async with (
            running_tracker(
                tmp_path, FakeLicensing(pki), plain_listen=listen, trusted_proxies=trusted
            ),
            await trio.open_tcp_stream("127.0.0.1", port) as stream,
        ):
            assert (await Plain(stream).request(proxied(leaf)))[0] == status


async def test_the_socket_of_a_killed_tracker_is_taken_over_and_a_living_one_s_is_not(
    short: Path,
) -> None:
    address = f"unix:{short}/t.sock"
    (dead,) = await open_plain_sockets([address])
    dead.close()  # as the kernel does: the file stays
    (living,) = await open_plain_sockets([address])
    with living, pytest.raises(UsageError, match=r"t\.sock: Address already in use"):
        await open_plain_sockets([address])
    (short / "file").write_text("precious")
    with pytest.raises(UsageError, match="file: Address already in use"):
        await open_plain_sockets([f"unix:{short}/file"])
    assert (short / "file").read_text() == "precious"


def configured(name: str, folder: Path, port: int) -> str:
    """The documented configuration, moved into `folder` and to `port`."""
    moved = (
        (DEPLOY / name)
        .read_text()
        .replace("/run/albumswarm/tracker.sock", f"{folder}/t.sock")
        .replace("/var/lib/albumswarm/tracker/", f"{folder}/")
        .replace("8444", str(port))
    )
    assert "/albumswarm/" not in moved
    return moved


def nginx(folder: Path, port: int) -> list[str]:
    (folder / "albumswarm.conf").write_text(configured("nginx.conf", folder, port))
    own = "".join(f"{what}_temp_path {folder};" for what in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "main.conf").write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} pid {folder}/proxy.pid;"
        f"error_log {folder}/error.log; events {{}}"
        f"http {{ client_body_temp_path {folder}; {own} include {folder}/albumswarm.conf; }}"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "main.conf")]


def haproxy(folder: Path, port: int) -> list[str]:
    (folder / "haproxy.cfg").write_text(configured("haproxy.cfg", folder, port))
    return ["haproxy", "-D", "-p", f"{folder}/proxy.pid", "-f", f"{folder}/haproxy.cfg"]


@pytest.fixture(params=[nginx, haproxy], ids=["nginx", "haproxy"])
def proxy(request: pytest.FixtureRequest, rig: Rig, short: Path) -> Iterator[Reachable]:
    """A real proxy in front of the tracker; as a daemon, it listens when the command returns."""
    name = request.param.__name__
    if shutil.which(name) is None:
        pytest.skip(f"no {name} on this machine: apt-get install {name}")
    host = rig.pki.issue(HostIdentity("tracker-1", ("localhost",)))
    (short / "host.pem").write_text(host.key_pem + host.certificate_pem)
    (short / "swarm-ca.pem").write_text(rig.pki.ca_pem)
    port = reserve()
    done = subprocess.run(request.param(short, port), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pids = [int(line) for line in (short / "proxy.pid").read_text().split()]
    try:
        yield Reachable(rig.folder, rig.pki.ca_pem, port)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
async def test_licensed_clients_announce_through_the_proxy(
    rig: Rig, proxy: Reachable, name: str
) -> None:
    for number in (1, 2):
        leaf = licence(rig.pki, number)
        stream = trio.SSLStream(
            await trio.open_tcp_stream(name, proxy.port),
            proxy.context(leaf),
            server_hostname="localhost",
        )
        client = Client(stream)
        for _ in range(2):
            answer = await client.announce(leaf, port=6880 + number, left_bytes=0)
            assert str(answer.external_address) == ("::1" if name == "::1" else "127.0.0.1")
            assert answer.complete == number
        await trio.aclose_forcefully(stream)


async def test_certificates_of_every_length_come_through_the_proxy(
    rig: Rig, proxy: Reachable
) -> None:
    # 606-646 bytes, 48 of them in a line of PEM: the last line is short, full, or a new one.
    for length in range(1, 43, 2):
        leaf = rig.pki.issue(licence_identity("r" * length + ".flac", number=length))
        answer = await proxy.announce(leaf, left_bytes=0)
        assert answer.complete >= 1


async def test_what_the_client_claims_itself_does_not_reach_the_tracker(
    rig: Rig, proxy: Reachable
) -> None:
    thief, victim = licence(rig.pki, 1), licence(rig.pki, 2)
    async with proxy.connected(thief) as client:
        _, body = await client.request(proxied(victim))
        assert b"other-licence: " in body
        _, body = await client.request(proxied(victim, asker=thief))
        assert str(AnnounceResponse.decode(body).external_address) in ("127.0.0.1", "::1")


async def test_strangers_do_not_come_through_the_proxy(rig: Rig, proxy: Reachable) -> None:
    own = licence(rig.pki)
    for stranger in (None, licence(SwarmPki())):
        received = b""
        with contextlib.suppress(trio.BrokenResourceError, ssl.SSLError):
            async with proxy.connected(stranger) as client:
                await client.stream.send_all(announce_head(own, left_bytes=0))
                received = await until_closed(client.stream)
        assert b"interval" not in received
        assert b" 200 " not in received


async def test_a_licence_that_is_revoked_is_refused_behind_the_proxy(
    rig: Rig, proxy: Reachable
) -> None:
    leaf = licence(rig.pki)
    async with proxy.connected(leaf) as client:
        await client.announce(leaf, left_bytes=0)
        rig.licensing.revoked.add(leaf.certificate.serial_number)
        with pytest.raises(AnnounceRefused, match="revoked"):
            await client.announce_until_refused(leaf)
