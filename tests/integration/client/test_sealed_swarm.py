"""Sealed swarms between real sessions: who gets bytes, and who gets none."""

import dataclasses
import datetime as dt
import functools
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from client_lib.errors import DownloadError, MetainfoError, StorageError, UsageError
from client_lib.swarm.session import open_session
from client_lib.swarm.settings import SessionSettings
from client_lib.swarm.status import Phase
from client_lib.wire.certificates import HostIdentity, SignerIdentity
from tests.integration.client.rig import HOST, NAME, SIZES, Album, seeding, settings, until_bytes
from tests.patience import PATIENCE_S
from tests.pki import Leaf, SwarmPki, licence_identity, utc_now

TOTAL = sum(SIZES.values())


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path / "origin")


async def test_licensed_peer_gets_the_album_from_the_seeder(album: Album, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with seeding(album) as seed, open_session(settings()) as session:
            torrent = await session.add(album.add(tmp_path / "a", album.licence()))
            torrent.connect(HOST, seed.port)
            await torrent.wait_complete()
            status = torrent.status()
            assert status.phase is Phase.SEEDING
            assert status.verified_bytes == status.total_bytes == TOTAL
            await torrent.flush()
            assert album.is_in(tmp_path / "a")
            await session.remove(torrent)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "01 Überraschung.flac",
        "CD 2",
        "empty.txt",
        "folder.jpg",
    ], "no padding file on the disk"


async def test_customers_give_to_each_other(album: Album, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with open_session(settings()) as first, open_session(settings()) as second:
            async with seeding(album) as seed:
                giver = await first.add(album.add(tmp_path / "a", album.licence(1)))
                giver.connect(HOST, seed.port)
                await giver.wait_complete()
            taker = await second.add(album.add(tmp_path / "b", album.licence(2)))
            taker.connect(HOST, first.listen_port)
            await taker.wait_complete()
            assert giver.status().uploaded_bytes == taker.status().downloaded_bytes >= TOTAL
            await taker.flush()
            assert album.is_in(tmp_path / "b")


async def test_files_arrive_under_the_names_we_choose(album: Album, tmp_path: Path) -> None:
    """libtorrent counts padding between files: a name must not slip to its neighbour."""
    paths = [f"Artist/{number} – {len(path)}" for number, path in enumerate(album.paths)]
    with trio.fail_after(PATIENCE_S):
        async with seeding(album) as seed, open_session(settings()) as session:
            torrent = await session.add(album.add(tmp_path / "a", album.licence(), paths=paths))
            torrent.connect(HOST, seed.port)
            await torrent.wait_complete()
            await torrent.flush()
            assert album.is_in(tmp_path / "a", paths)
            with pytest.raises(MetainfoError, match="6 files and 5 paths"):
                await session.add(album.add(tmp_path / "b", album.licence(), paths=paths[1:]))


Stranger = Callable[[Album], Leaf]
STRANGERS: dict[str, Stranger] = {
    "another release": lambda album: album.pki.issue(licence_identity("rel-0002.flac-16-44")),
    "another CA": lambda album: SwarmPki().issue(licence_identity(NAME, album.metainfo.info)),
    "expired": lambda album: album.pki.expired(licence_identity(NAME, album.metainfo.info)),
    "not yet valid": lambda album: album.pki.issue(
        licence_identity(NAME, album.metainfo.info), now=utc_now() + dt.timedelta(days=2)
    ),
    "a tracker": lambda album: album.pki.issue(HostIdentity("tracker", ("localhost",))),
    "the signer": lambda album: album.pki.issue(SignerIdentity(1, "com.example.shop")),
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
async def test_stranger_gets_nothing(album: Album, tmp_path: Path, stranger: Stranger) -> None:
    """Side by side with a licensed peer, whose success says that there was time enough."""
    with trio.fail_after(PATIENCE_S):
        async with (
            seeding(album) as seed,
            open_session(settings()) as outside,
            open_session(settings()) as inside,
        ):
            refused = await outside.add(album.add(tmp_path / "x", stranger(album)))
            licensed = await inside.add(album.add(tmp_path / "a", album.licence()))
            refused.connect(HOST, seed.port)
            # Nor may it be called by those inside.
            seed.torrent.connect(HOST, outside.listen_port)
            licensed.connect(HOST, outside.listen_port)
            licensed.connect(HOST, seed.port)
            await licensed.wait_complete()
            assert refused.status().downloaded_bytes == 0
            assert refused.peers() == ()
            assert seed.uploaded_bytes == licensed.status().downloaded_bytes
            assert seed.uploaded_bytes >= TOTAL


async def test_plain_peer_without_tls_gets_not_even_a_handshake(album: Album) -> None:
    hello = b"\x13BitTorrent protocol" + bytes(8) + album.info_hash.truncated + b"-XX0000-" * 2
    with trio.fail_after(PATIENCE_S):
        async with seeding(album) as seed:
            stream = await trio.open_tcp_stream(HOST, seed.port)
            async with stream:
                await stream.send_all(hello + b"    ")
                answer = b""
                try:
                    while chunk := await stream.receive_some():
                        answer += chunk
                except trio.BrokenResourceError:
                    pass
            assert b"BitTorrent protocol" not in answer
            assert bytes(album.info_hash.truncated) not in answer
            assert seed.uploaded_bytes == 0


async def test_renewed_certificate_opens_a_running_torrent(album: Album, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with seeding(album) as seed, open_session(settings()) as session:
            expired = album.pki.expired(licence_identity(NAME, album.metainfo.info))
            torrent = await session.add(album.add(tmp_path / "a", expired))
            torrent.connect(HOST, seed.port)
            fresh = album.licence()
            torrent.renew(fresh.certificate_pem, fresh.key_pem)
            done = trio.Event()

            async def knock() -> None:
                while not done.is_set():  # a refused peer is tried again after 2 s at the earliest
                    torrent.connect(HOST, seed.port)
                    with trio.move_on_after(0.2):
                        await done.wait()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(knock)
                await torrent.wait_complete()
                done.set()
            assert torrent.status().verified_bytes == TOTAL


async def test_interrupted_download_needs_only_the_rest(album: Album, tmp_path: Path) -> None:
    where, leaf = tmp_path / "a", album.licence()
    with trio.fail_after(PATIENCE_S):
        async with seeding(album, upload_bytes_s=600_000) as seed:
            async with open_session(settings()) as session:
                torrent = await session.add(album.add(where, leaf))
                torrent.connect(HOST, seed.port)
                await until_bytes(torrent, TOTAL // 3)
                (peer,) = torrent.peers()
                assert (peer.central_seeder, peer.complete) == (True, True)
                verified = torrent.pieces_verified
                point = await torrent.resume_point()
                claimed = sum(point.have_pieces)
                assert 0 < verified <= claimed < torrent.piece_count
                await session.remove(torrent)
            seed.session.set_limits(upload_bytes_s=0, download_bytes_s=0)
            async with open_session(settings()) as session:
                torrent = await session.add(album.add(where, leaf, resume=point))
                while torrent.status().phase is Phase.CHECKING:
                    await torrent.wait_change()
                there = torrent.status().verified_bytes
                assert there >= TOTAL // 4
                torrent.connect(HOST, seed.port)
                await torrent.wait_complete()
                # Whole blocks: what was under way may come once more.
                assert torrent.status().downloaded_bytes <= TOTAL - there + 16 * 1024
                await torrent.flush()
    assert album.is_in(where)


async def test_resume_point_without_its_files_claims_nothing(album: Album, tmp_path: Path) -> None:
    leaf = album.licence()
    with trio.fail_after(PATIENCE_S):
        async with seeding(album) as seed, open_session(settings()) as session:
            torrent = await session.add(album.add(tmp_path / "a", leaf))
            torrent.connect(HOST, seed.port)
            await torrent.wait_complete()
            point = await torrent.resume_point()
            assert all(point.have_pieces)
            await session.remove(torrent)
            again = await session.add(album.add(tmp_path / "elsewhere", leaf, resume=point))
            again.connect(HOST, seed.port)
            await again.wait_complete()
            assert again.status().downloaded_bytes >= TOTAL
            await again.flush()
    assert album.is_in(tmp_path / "elsewhere")


async def test_files_moved_by_us_stay_in_the_swarm(album: Album, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            open_session(settings(upload_bytes_s=600_000)) as first,
            open_session(settings()) as second,
        ):
            async with seeding(album) as seed:
                giver = await first.add(album.add(tmp_path / "partial", album.licence(1)))
                giver.connect(HOST, seed.port)
                await giver.wait_complete()
            taker = await second.add(album.add(tmp_path / "b", album.licence(2)))
            taker.connect(HOST, first.listen_port)
            await until_bytes(taker, TOTAL // 4)
            (before,) = taker.peers()
            assert not before.central_seeder
            await giver.flush()
            (tmp_path / "partial").rename(tmp_path / "final")
            await giver.files_moved_to(tmp_path / "final")
            (after,) = taker.peers()
            assert (after.address, after.port) == (before.address, before.port)
            first.set_limits(upload_bytes_s=0, download_bytes_s=0)
            await taker.wait_complete()  # by the one connection that it made
            await taker.flush()
            assert album.is_in(tmp_path / "b")
            assert not (tmp_path / "partial").exists()


async def test_damaged_copy_is_noticed_and_fetched_again(album: Album, tmp_path: Path) -> None:
    where = tmp_path / "a"
    with trio.fail_after(PATIENCE_S):
        async with seeding(album) as seed, open_session(settings()) as session:
            torrent = await session.add(album.add(where, album.licence()))
            torrent.connect(HOST, seed.port)
            await torrent.wait_complete()
            await session.remove(torrent)
            damaged = bytearray((where / "folder.jpg").read_bytes())
            damaged[0] ^= 1
            (where / "folder.jpg").write_bytes(damaged)
            torrent = await session.add(album.add(where, album.licence()))
            torrent.connect(HOST, seed.port)
            await torrent.wait_complete()
            assert 0 < torrent.status().downloaded_bytes <= 2 * 65_536
            await torrent.flush()
    assert album.is_in(where)


async def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with trio.fail_after(PATIENCE_S):
            async with open_session(SessionSettings(listen_port=port, listen_host=HOST)) as session:
                assert session.listen_port not in (0, port)


async def test_address_that_is_not_ours_is_one_clear_error() -> None:
    chosen = SessionSettings(listen_port=0, listen_host="192.0.2.1")
    with trio.fail_after(PATIENCE_S), pytest.raises(StorageError, match=r"on 192\.0\.2\.1:0"):
        async with open_session(chosen):
            raise AssertionError("listening")


@pytest.mark.parametrize(
    "chosen",
    [
        {"listen_host": "localhost"},  # libtorrent would wait for it for ever
        {"listen_host": "eth0"},
        {"listen_host": ""},
        {"listen_port": 65_536},
        {"listen_port": -1},
        {"upload_limit_bytes_s": -1},
        {"download_limit_bytes_s": 2**31},
    ],
)
def test_settings_that_libtorrent_would_ignore_are_refused(chosen: dict[str, str | int]) -> None:
    with pytest.raises(UsageError):
        SessionSettings(**chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize("complete", [True, False])
async def test_folder_that_cannot_be_read_is_an_error_that_names_it(
    album: Album, tmp_path: Path, complete: bool
) -> None:
    where = tmp_path / "a"
    what = album.add(where, album.licence(), complete=complete)
    (where / "01 Überraschung.flac").mkdir(parents=True)  # a folder where a file should be
    (where / "CD 2").write_text("a file where a folder should be")
    with trio.fail_after(PATIENCE_S):
        async with open_session(settings()) as session, seeding(album) as seed:
            torrent = await session.add(what)
            torrent.connect(HOST, seed.port)
            while torrent.error is None:
                await torrent.wait_change()
            assert f"{where}/" in torrent.error
            if not complete:
                with pytest.raises(DownloadError, match=f"{NAME}: .*{where}/"):
                    await torrent.wait_complete()


async def test_same_release_twice_in_a_session_is_refused(album: Album, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with open_session(settings()) as session:
            await session.add(album.add(tmp_path / "a", album.licence(1)))
            with pytest.raises(DownloadError, match="in the session already"):
                await session.add(album.add(tmp_path / "b", album.licence(2)))


@pytest.mark.parametrize("torrent", [b"", b"de", b"d4:infodee", b"garbage"])
async def test_garbage_is_no_torrent(torrent: bytes, album: Album, tmp_path: Path) -> None:
    leaf = album.licence()
    with trio.fail_after(PATIENCE_S):
        async with open_session(settings()) as session:
            what = album.add(tmp_path / "a", leaf)
            with pytest.raises(MetainfoError):
                await session.add(dataclasses.replace(what, torrent=torrent))


async def test_removed_torrent_can_come_back_and_late_alerts_do_no_harm(
    album: Album, tmp_path: Path
) -> None:
    with trio.fail_after(PATIENCE_S):
        async with seeding(album) as seed, open_session(settings()) as session:
            for _ in range(5):
                torrent = await session.add(album.add(tmp_path / "a", album.licence()))
                torrent.connect(HOST, seed.port)
                torrent.recheck()  # its alerts come after the torrent has gone
                torrent.announce()
                await session.remove(torrent)
                await session.remove(torrent)
            torrent = await session.add(album.add(tmp_path / "a", album.licence()))
            torrent.connect(HOST, seed.port)
            await torrent.wait_complete()


async def test_paused_torrent_rests_and_resumes(album: Album, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with seeding(album) as seed, open_session(settings()) as session:
            torrent = await session.add(album.add(tmp_path / "a", album.licence()))
            torrent.pause()
            while torrent.status().phase is not Phase.PAUSED:
                await torrent.wait_change()
            torrent.resume()
            torrent.connect(HOST, seed.port)
            await torrent.wait_complete()


async def test_peers_are_called_anew_and_counts_go_on(album: Album, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            seeding(album, upload_bytes_s=600_000) as seed,
            open_session(settings()) as session,
        ):
            torrent = await session.add(album.add(tmp_path / "a", album.licence()))
            torrent.connect(HOST, seed.port)
            await until_bytes(torrent, TOTAL // 3)
            (before,) = torrent.peers()
            (caller,) = seed.torrent.peers()
            counted = torrent.status().downloaded_bytes
            seed.session.set_limits(upload_bytes_s=0, download_bytes_s=0)
            torrent.redial()
            await torrent.wait_complete()
            assert caller.port not in {peer.port for peer in seed.torrent.peers()}
            assert torrent.status().downloaded_bytes >= TOTAL
            assert before.downloaded_bytes <= counted < torrent.status().downloaded_bytes
            await torrent.flush()
    assert album.is_in(tmp_path / "a")


async def test_a_torrent_that_was_left_stays_until_its_tracker_has_answered(
    album: Album, tmp_path: Path
) -> None:
    """Otherwise libtorrent 2.1.1 crashes: two of four runs with 200 albums."""
    called, hangs_up, back = trio.Event(), trio.Event(), trio.Event()

    async def say_nothing(stream: trio.SocketStream) -> None:
        async with stream:
            called.set()
            await hangs_up.wait()

    async def add_again() -> None:
        again = await session.add(what)
        assert again is not torrent
        back.set()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            serve = functools.partial(trio.serve_tcp, host=HOST)
            (listener,) = await nursery.start(serve, say_nothing, 0)
            port = listener.socket.getsockname()[1]
            url = f"https://localhost:{port}/announce/x"
            async with open_session(settings()) as session:
                what = dataclasses.replace(
                    album.add(tmp_path / "a", album.licence()), trackers=((url,),)
                )
                torrent = await session.add(what)
                await called.wait()
                await session.remove(torrent)
                assert torrent.talks_to_trackers
                nursery.start_soon(add_again)
                await trio.testing.wait_all_tasks_blocked()
                assert not back.is_set()
                hangs_up.set()
                await back.wait()
            nursery.cancel_scope.cancel()
