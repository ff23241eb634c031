"""Files over HTTPS, for those who hold the release's licence."""

import os
from pathlib import Path

import pytest
import trio

from client_lib.errors import StorageError
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import AudioFormat, ReleaseId, TorrentName
from seeder.origins.folder import FolderOrigin
from seeder.origins.pieces import PieceMap
from seeder.publish import Press, Release, publish
from seeder.web_seed.server import MOST_OF_A_LICENCE
from tests.integration.seeder.rig import NAME, NodeRig, customer, eventually, files_below
from tests.integration.seeder.web_seed_rig import Hosted, buyer, hosted, path_of
from tests.patience import PATIENCE_S

PIECE = 64 << 10
# Short by less than a block, by exactly one, by more; tiny, empty, one piece, many.
NASTY = (PIECE - 1, PIECE - 1, 0, 5, PIECE, 3 * PIECE - 7, PIECE - 16_384, 2 * PIECE + 1, 1, PIECE)


@pytest.fixture
def rig(tmp_path: Path) -> NodeRig:
    return NodeRig(tmp_path)


async def fetch_all(rig: NodeRig, torrent: bytes, music: Path) -> None:
    """Let a libtorrent customer fetch everything over HTTPS, and compare."""
    meta = Metainfo.from_bytes(torrent)
    async with (
        hosted(rig) as seed,
        customer(torrent, buyer(rig, meta), music) as (_, added),
    ):
        added.use_web_seeds([seed.url])
        await added.wait_complete()
        await added.flush()
        assert {(peer.web_seed, peer.central_seeder) for peer in added.peers()} <= {(True, True)}
        assert added.status().downloaded_bytes == seed.sent_bytes == meta.size_bytes
        added.drop_web_seeds()
    assert files_below(music / meta.name) == files_below(rig.root / "album rel-0001")


async def test_a_customer_gets_the_album_over_https_alone(rig: NodeRig, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        await fetch_all(rig, await rig.publish(), tmp_path / "music")


async def publish_nasty(rig: NodeRig) -> bytes:
    album = rig.root / "album rel-0001"
    album.mkdir()
    for number, size in enumerate(NASTY):
        (album / f"{number:02} 100% #1?.flac").write_bytes(os.urandom(size))
    release = Release(album, ReleaseId("rel-0001"), AudioFormat("flac"))
    async with rig.licensing.client() as client:
        await publish(release, Press(rig.origin, client))
    return rig.licensing.torrents[NAME]


async def test_files_of_every_length_arrive(rig: NodeRig, tmp_path: Path) -> None:
    torrent = await publish_nasty(rig)
    with trio.fail_after(PATIENCE_S):
        await fetch_all(rig, torrent, tmp_path / "music")


@pytest.mark.parametrize("first", [None, frozenset({0, 5})], ids=["chosen", "chosen meanwhile"])
async def test_of_chosen_files_the_next_is_not_waited_for(
    rig: NodeRig, tmp_path: Path, first: frozenset[int] | None
) -> None:
    torrent, music = await publish_nasty(rig), tmp_path / "music"
    meta, chosen = Metainfo.from_bytes(torrent), frozenset({1, 5, 8})
    async with (
        hosted(rig) as seed,
        customer(torrent, buyer(rig, meta), music, wanted=first or chosen) as (_, added),
    ):
        added.use_web_seeds([seed.url])
        if first:
            added.want(chosen)
        with trio.fail_after(PATIENCE_S):
            await added.wait_complete()
            await added.flush()
    album, found = files_below(rig.root / "album rel-0001"), files_below(music / meta.name)
    names = sorted(album)
    assert all(found[names[file]] == album[names[file]] for file in chosen)
    assert (names[9] in found) is False


async def test_ranges_conditions_and_heads(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    whole = (rig.root / "album rel-0001" / "01.flac").read_bytes()
    path = path_of(meta, "01.flac")
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, seed.visitor(buyer(rig, meta)) as http:
            answer = await http.get(path)
            assert (answer.status_code, answer.content) == (200, whole)
            etag = answer.headers["ETag"]
            head = await http.head(path, headers={"Range": "bytes=0-1"})
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["Content-Length"] == str(len(whole))

            for asked, expected in {
                "bytes=0-0": whole[:1],
                "bytes=65535-65536": whole[65535:65537],
                "bytes=-7": whole[-7:],
                "bytes=2999990-": whole[2_999_990:],
                "bytes=100-9999999": whole[100:],
            }.items():
                answer = await http.get(path, headers={"Range": asked})
                assert (answer.status_code, answer.content) == (206, expected), asked
            for asked in ("bytes=3000000-", "bytes=-0", "bytes=" + "0-," * 20, "bytes=0-,0-,0-,0-"):
                answer = await http.get(path, headers={"Range": asked})
                assert answer.status_code == 416, asked
                assert answer.headers["Content-Range"] == "bytes */3000000"
            answer = await http.get(path, headers={"Range": "bytes=0-4,70000-70004, -3"})
            assert answer.status_code == 206
            boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
            parts = [part.partition(b"\r\n\r\n") for part in answer.content.split(b"--" + boundary)]
            assert [part.rpartition(b"\r\n")[0] for _, _, part in parts[1:-1]] == [
                whole[:5],
                whole[70_000:70_005],
                whole[-3:],
            ]
            assert parts[-1][0] == b"--\r\n"

            answer = await http.get(path, headers={"If-None-Match": f'"x", W/{etag}'})
            assert (answer.status_code, answer.content) == (304, b"")
            answer = await http.get(path, headers={"If-Match": '"another"'})
            assert answer.status_code == 412
            for same, status in ((etag, 206), (f"W/{etag}", 200), ('"another"', 200)):
                answer = await http.get(path, headers={"If-Range": same, "Range": "bytes=1-2"})
                assert answer.status_code == status
            answer = await http.get(path_of(meta, "empty.txt"), headers={"Range": "bytes=0-"})
            assert (answer.status_code, answer.content) == (416, answer.content)
            answer = await http.get(path_of(meta, "empty.txt"))
            assert (answer.status_code, answer.content) == (200, b"")
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                answer = await http.request(method, path)
                assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
            assert len(seed.web_seed.connections) == 1  # all of it on one connection


async def test_what_is_sent_is_counted_once_and_announced_as_uploaded(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, seed.visitor(buyer(rig, meta)) as http:
            await http.get(path_of(meta, "02.flac"))
            await http.head(path_of(meta, "02.flac"))
            await http.get(path_of(meta, "02.flac"), headers={"Range": "bytes=0-9,20-29"})
            await http.get(path_of(meta, "03.flac"))
            assert seed.sent_bytes == 300_001 + 20
            (loaded,) = seed.serving.node.shelf.loaded.values()
            assert loaded.swarm.counters.uploaded_bytes == 300_001 + 20  # what announces say


def spoil(rig: NodeRig, offset: int) -> None:
    with (rig.origin.content(NAME) / "01.flac").open("r+b") as file:
        file.seek(offset)
        before = file.read(1)
        file.seek(offset)
        file.write(bytes([before[0] ^ 1]))


async def test_a_damaged_piece_is_503_or_the_end_and_never_a_wrong_byte(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    whole = (rig.root / "album rel-0001" / "01.flac").read_bytes()
    spoil(rig, 20 * PIECE + 5)
    path = path_of(meta, "01.flac")
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, seed.visitor(buyer(rig, meta)) as http:
            answer = await http.get(path, headers={"Range": f"bytes={20 * PIECE}-"})
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
            release = seed.serving.status()
            assert release is not None
            assert "not what was published" in (release.problem or "")
            assert seed.sent_bytes == 0
            async with seed.raw(buyer(rig, meta)) as stream:
                await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                received = b""
                while data := await _some(stream):
                    received += data
            _, _, body = received.partition(b"\r\n\r\n")
            assert body == whole[: 20 * PIECE]
            answer = await http.get(path, headers={"Range": f"bytes={21 * PIECE}-"})
            assert answer.content == whole[21 * PIECE :]


async def _some(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""


class AwayOrigin(FolderOrigin):
    """One whose pieces cannot be read."""

    def reader(self, torrent: Metainfo, pieces: PieceMap) -> "AwayReader":  # type: ignore[override]
        return AwayReader()


class AwayReader:
    def read(self, piece: int) -> bytes:
        raise StorageError("the bucket is away")

    def hold(self, *, in_use: bool) -> None:
        pass


async def test_an_origin_that_is_away_is_503(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    with trio.fail_after(PATIENCE_S):
        async with (
            hosted(rig, origin=AwayOrigin(rig.root / "origin")) as seed,
            seed.visitor(buyer(rig, meta)) as http,
        ):
            answer = await http.get(path_of(meta, "01.flac"))
            assert answer.status_code == 503
            assert seed.sent_bytes == 0


async def test_a_release_is_not_put_away_while_somebody_reads_it(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish(size_bytes=20_000_000))
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, seed.raw(buyer(rig, meta)) as stream:
            shelf = seed.serving.node.shelf
            request = f"GET {path_of(meta, '01.flac')} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            await stream.send_all(request.encode())
            assert await stream.receive_some()  # and take no more
            shelf.put_idle_away(trio.current_time() + 1_000_000)
            assert shelf.loaded
            await stream.transport_stream.aclose()
            await eventually(lambda: not seed.web_seed.connections)
            shelf.put_idle_away(trio.current_time() + 2_000_000)
            assert not shelf.loaded


async def test_a_licence_has_so_many_connections_and_others_have_theirs(rig: NodeRig) -> None:
    meta = Metainfo.from_bytes(await rig.publish())
    greedy, modest = buyer(rig, meta, 1), buyer(rig, meta, 2)
    with trio.fail_after(PATIENCE_S):
        async with hosted(rig) as seed, trio.open_nursery() as nursery:
            for _ in range(MOST_OF_A_LICENCE):
                await nursery.start(_stay_connected, seed, greedy)
            await eventually(lambda: _visitors(seed) == MOST_OF_A_LICENCE)
            async with seed.visitor(greedy) as http:
                answer = await http.get(path_of(meta, "02.flac"))
                assert answer.status_code == 503
            async with seed.visitor(modest) as http:
                answer = await http.get(path_of(meta, "02.flac"))
                assert answer.status_code == 200
            nursery.cancel_scope.cancel()


def _visitors(seed: Hosted) -> int:
    return sum(connection.visitor is not None for connection in seed.web_seed.connections)


async def _stay_connected(
    seed: Hosted,
    leaf: object,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    async with seed.raw(leaf) as stream:  # type: ignore[arg-type]
        await stream.do_handshake()
        task_status.started()
        await trio.sleep_forever()


async def test_a_release_that_is_not_here_yet_is_503_and_to_be_asked_for_soon(
    rig: NodeRig,
) -> None:
    other = NodeRig(rig.root / "other", licensing=rig.licensing)
    other.root.mkdir()
    await rig.publish()
    async with hosted(rig) as seed:
        meta = Metainfo.from_bytes(await other.publish("rel-0002"))
        assert meta.name == TorrentName("rel-0002.flac")
        with trio.fail_after(PATIENCE_S):
            async with seed.visitor(buyer(rig, meta)) as http:
                answer = await http.get(path_of(meta, "01.flac"))
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert seed.serving.node.shelf.catalogue.wanted.is_set()
        assert seed.sent_bytes == 0
