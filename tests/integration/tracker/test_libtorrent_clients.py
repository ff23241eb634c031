"""Real clients: libtorrent sessions with certificates find each other through the tracker."""

import contextlib
import os
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import libtorrent as lt
import pytest
import trio

from client_lib.wire import bencode
from client_lib.wire.certificates import SeederIdentity
from client_lib.wire.infohash import InfoHash
from tests.integration.tracker.rig import FakeLicensing, running_tracker
from tests.patience import PATIENCE_S
from tests.pki import Leaf, SwarmPki, licence_identity

NAME = "rel-0001.flac-16-44"
IPV4, IPV6 = "127.0.0.1:0s", "[::1]:0s"
DUAL_STACK = f"{IPV4},{IPV6}"


def sealed_torrent(folder: Path, ca_pem: str) -> bytes:
    """An album of random bytes in `folder`, and its sealed v2 torrent."""
    album = folder / NAME
    album.mkdir(parents=True)
    for track in (1, 2):  # a lone file would give the torrent its own name
        (album / f"0{track}.flac").write_bytes(os.urandom(300_000))
    torrent = lt.create_torrent(lt.list_files(str(album)), 65_536, lt.create_torrent.v2_only)
    torrent.set_priv(True)
    torrent.set_root_cert(ca_pem)
    lt.set_piece_hashes(torrent, str(folder))
    return lt.bencode(torrent.generate())


@contextlib.contextmanager
def peer(
    torrent: bytes, folder: Path, leaf: Leaf, url: str, listen: str = IPV4
) -> Iterator[lt.torrent_handle]:
    """A session with one torrent, which presents `leaf` to tracker and peers."""
    session = lt.session(
        {
            "listen_interfaces": listen,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_ip_notifier": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            # A session's end waits for its last announce, on the thread that would answer it.
            "stop_tracker_timeout": 0,
            "allow_multiple_connections_per_ip": True,
        }
    )
    params = lt.load_torrent_buffer(torrent)
    params.save_path = str(folder)
    params.trackers = [url]
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags |= lt.torrent_flags.paused
    handle = session.add_torrent(params)
    handle.set_ssl_certificate_buffer(leaf.certificate_pem, leaf.key_pem, "")
    handle.resume()
    try:
        yield handle
    finally:
        session.pause()


async def until_complete(handle: lt.torrent_handle) -> None:
    with trio.fail_after(PATIENCE_S):
        while not handle.status().is_seeding:  # noqa: ASYNC110 - another library's thread
            await trio.sleep(0.05)


async def test_licensed_sessions_find_each_other_and_strangers_find_nobody(
    tmp_path: Path,
) -> None:
    pki = SwarmPki()
    torrent = sealed_torrent(tmp_path / "origin", pki.ca_pem)
    info = bencode.encode(bencode.decode(torrent)[b"info"])  # type: ignore[call-overload, index]
    identities = [licence_identity(NAME, info, number=n) for n in (1, 2)]
    stranger = licence_identity("rel-0002.flac-16-44", b"de", number=3)
    assert identities[0].info_hash == InfoHash.of(info)
    async with running_tracker(tmp_path, FakeLicensing(pki)) as rig:
        with contextlib.ExitStack() as sessions:

            def join(name: str, leaf: Leaf, member_id: str) -> lt.torrent_handle:
                url = f"https://localhost:{rig.port}/announce/{member_id}"
                return sessions.enter_context(peer(torrent, tmp_path / name, leaf, url))

            seeder = pki.issue(SeederIdentity("node-1"))
            await until_complete(join("origin", seeder, "node-1"))
            outsider = join("outsider", pki.issue(stranger), stranger.licence_id)
            customers = [
                join(f"customer-{who.licence_id}", pki.issue(who), who.licence_id)
                for who in identities
            ]
            for customer in customers:
                await until_complete(customer)
            witness = pki.issue(licence_identity(NAME, info, number=9))
            response = await rig.announce(witness)
            while response.complete != 3:  # their `completed` announces are on the way
                response = await rig.announce(witness)
            assert (len(response.peers), response.incomplete) == (3, 1)
            assert outsider.status().total_done == 0
            assert outsider.status().num_peers == 0


def localhost_is_dual_stack() -> bool:
    try:
        return bool(socket.getaddrinfo("localhost", None, socket.AF_INET6))
    except OSError:
        return False


async def run_with_dual_stack_localhost(test: str, folder: Path) -> None:
    """Run a test of this file where `localhost` has both families: in a mount namespace."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("localhost is not ::1 here, and only root can make it so for a process")
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
    script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
    done = await trio.run_process(
        [
            *("unshare", "--mount", "sh", "-c", script, "sh", str(hosts)),
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                f"{__file__}::{test}",
            ),
        ],
        capture_stdout=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    assert b"1 passed" in done.stdout


@pytest.mark.root
async def test_clients_meet_over_ipv6_and_one_of_both_families_is_one_peer(tmp_path: Path) -> None:
    if not localhost_is_dual_stack():
        name = "test_clients_meet_over_ipv6_and_one_of_both_families_is_one_peer"
        return await run_with_dual_stack_localhost(name, tmp_path)
    pki = SwarmPki()
    torrent = sealed_torrent(tmp_path / "origin", pki.ca_pem)
    info = bencode.encode(bencode.decode(torrent)[b"info"])  # type: ignore[call-overload, index]
    async with running_tracker(tmp_path, FakeLicensing(pki)) as rig:
        with contextlib.ExitStack() as sessions:

            def join(name: str, leaf: Leaf, member_id: str, listen: str) -> lt.torrent_handle:
                url = f"https://localhost:{rig.port}/announce/{member_id}"
                return sessions.enter_context(peer(torrent, tmp_path / name, leaf, url, listen))

            await until_complete(
                join("origin", pki.issue(SeederIdentity("node-1")), "node-1", DUAL_STACK)
            )
            for number, listen in enumerate((IPV6, DUAL_STACK, IPV4), start=1):
                who = licence_identity(NAME, info, number=number)
                await until_complete(join(f"c-{number}", pki.issue(who), who.licence_id, listen))
            witness = pki.issue(licence_identity(NAME, info, number=9))
            response = await rig.announce(witness)
            while response.complete != 4 or len(response.peers) != 6:
                response = await rig.announce(witness)
            families = Counter(peer.address.version for peer in response.peers)
            assert families == {4: 3, 6: 3}
