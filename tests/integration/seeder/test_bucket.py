"""A bucket origin against a real S3 API: whatever happens to the bucket, no bad byte leaves."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
import trio

from client_lib.errors import StorageError, UsageError
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import AudioFormat, ReleaseId
from seeder.origins.bucket import BucketOrigin, BucketPlace, open_bucket
from seeder.origins.disk_cache import DiskCache
from seeder.origins.folder import FolderOrigin
from seeder.origins.pieces import PieceMap
from seeder.publish import Press, Release, publish
from tests.integration.seeder.rig import (
    HOST,
    NAME,
    NodeRig,
    customer,
    files_below,
    licence_leaf,
    make_album,
)
from tests.patience import PATIENCE_S

_BEGIN_S = 30


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Moto's S3 as a process of its own."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(_BEGIN_S * 20):
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                raise AssertionError("moto's server did not start")
        yield f"http://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def place(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> BucketPlace:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    bucket = f"bucket-{abs(hash(request.node.name)) % 10**9}"
    make = f"{endpoint}/{bucket}"
    subprocess.run(["curl", "-sS", "-f", "-o", "/dev/null", "-X", "PUT", make], check=True)
    return BucketPlace.parse(f"s3://{bucket}/albums", endpoint)


@pytest.fixture
def rig(tmp_path: Path) -> NodeRig:
    return NodeRig(tmp_path)


async def uploaded(rig: NodeRig, place: BucketPlace, *, capacity_bytes: int = 1 << 30) -> "Shop":
    torrent = await rig.publish()
    cache = DiskCache(rig.root / "cache", capacity_bytes)
    origin = BucketOrigin(place, cache)
    meta = Metainfo.from_bytes(torrent)
    for file in meta.files:
        origin.put(meta.name, file.path, rig.origin.content(NAME).joinpath(*file.path))
    origin.finish(meta.name, torrent)
    return Shop(rig, origin, cache, torrent)


class Shop:
    def __init__(
        self, rig: NodeRig, origin: BucketOrigin, cache: DiskCache, torrent: bytes
    ) -> None:
        self.rig, self.origin, self.cache, self.torrent = rig, origin, cache, torrent
        self.meta = Metainfo.from_bytes(torrent)
        self.pieces = PieceMap(self.meta)

    async def read(self, piece: int) -> bytes:
        reader = self.origin.reader(self.meta, self.pieces)
        return await trio.to_thread.run_sync(reader.read, piece)

    def cached(self, piece: int) -> Path:
        return self.rig.root / "cache" / self.meta.info_hash.hex / str(piece)


async def test_customer_is_served_from_a_bucket(rig: NodeRig, place: BucketPlace) -> None:
    shop = await uploaded(rig, place)
    leaf = licence_leaf(rig.licensing.pki, shop.meta)
    with trio.fail_after(PATIENCE_S):
        async with (
            rig.node(origin=shop.origin) as serving,
            customer(shop.torrent, leaf, rig.root / "c") as (_, own),
        ):
            own.connect(HOST, serving.port)
            await own.wait_complete()
    assert files_below(rig.root / "c" / NAME) == files_below(rig.origin.content(NAME))
    assert shop.cache.used_bytes == shop.meta.size_bytes


async def test_album_is_published_to_a_bucket_once(rig: NodeRig, place: BucketPlace) -> None:
    bucket = BucketOrigin(place, DiskCache(rig.root / "cache", 1 << 30))
    album = make_album(rig.root / "Album", size_bytes=200_000)
    release = Release(album, ReleaseId("rel-0001"), AudioFormat("flac"))
    staging = FolderOrigin(rig.root / "publishing")
    async with rig.licensing.client() as client:
        press = Press(staging, client, bucket)
        first = await publish(release, press)
        again = await publish(release, press)
        assert (first.new, again.entry) == (True, first.entry)
        torrent = bucket.torrent(NAME)
        assert torrent == rig.licensing.torrents[NAME]
        meta = Metainfo.from_bytes(torrent or b"")
        reader = bucket.reader(meta, PieceMap(meta))
        pieces = [await trio.to_thread.run_sync(reader.read, n) for n in range(len(PieceMap(meta)))]
        assert b"".join(pieces) == b"".join(
            album.joinpath(*file.path).read_bytes() for file in meta.files
        )
        assert not staging.releases()
        (album / "01.flac").write_bytes(b"other")
        with pytest.raises(StorageError, match="other content"):
            await publish(release, press)
    assert bucket.torrent(NAME) == torrent


async def test_second_read_is_from_the_cache(rig: NodeRig, place: BucketPlace) -> None:
    shop = await uploaded(rig, place)
    data = await shop.read(0)
    obstore.delete(open_bucket(place), f"{NAME}/01.flac")
    assert await shop.read(0) == data
    with pytest.raises(StorageError, match=r"cannot read s3://.*01\.flac"):
        await shop.read(1)


async def test_corrupted_cached_piece_is_fetched_again(rig: NodeRig, place: BucketPlace) -> None:
    shop = await uploaded(rig, place)
    data = await shop.read(0)
    shop.cached(0).write_bytes(b"x" + data[1:])
    assert await shop.read(0) == data
    assert shop.cached(0).read_bytes() == data
    shop.cached(0).write_bytes(data[:-1])
    assert await shop.read(0) == data


@pytest.mark.parametrize("damage", ["truncated", "other bytes"])
async def test_wrong_object_is_an_error_and_is_not_cached(
    rig: NodeRig, place: BucketPlace, damage: str
) -> None:
    shop = await uploaded(rig, place)
    content = (rig.origin.content(NAME) / "01.flac").read_bytes()
    wrong = content[:1_000] if damage == "truncated" else b"x" + content[1:]
    obstore.put(open_bucket(place), f"{NAME}/01.flac", wrong)
    with pytest.raises(StorageError, match=r"01\.flac"):
        await shop.read(0)
    assert not shop.cached(0).exists()
    assert shop.cache.used_bytes == 0


async def test_wiped_bucket_is_an_error_that_names_it(rig: NodeRig, place: BucketPlace) -> None:
    shop = await uploaded(rig, place)
    assert shop.origin.torrent(shop.meta.name) == shop.torrent
    store = open_bucket(place)
    for batch in obstore.list(store):
        for entry in batch:
            obstore.delete(store, str(entry["path"]))
    assert shop.origin.torrent(shop.meta.name) is None
    with pytest.raises(StorageError, match=f"{NAME}/01.flac"):
        await shop.read(0)


async def test_least_recently_demanded_release_is_evicted_and_none_in_use(tmp_path: Path) -> None:
    await trio.lowlevel.checkpoint()
    cache = DiskCache(tmp_path / "cache", 1_000)

    async def do(name: str, size_bytes: int) -> None:
        release = cache.release(name)
        await trio.to_thread.run_sync(release.put, 0, bytes(size_bytes))

    await do("a", 400)
    await do("b", 400)
    cache.release("a").in_use = True
    await do("c", 400)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["a", "c"]
    cache.release("c").in_use = True
    await do("d", 400)  # no room: served, and not kept
    assert cache.used_bytes == 800
    assert cache.release("d").get(0) is None
    assert DiskCache(tmp_path / "cache", 1_000).used_bytes == 800


async def test_full_cache_disk_makes_a_node_slower_and_not_wrong(
    rig: NodeRig, place: BucketPlace
) -> None:
    shop = await uploaded(rig, place)
    (rig.root / "cache" / shop.meta.info_hash.hex).write_bytes(b"a file is in the way")
    data = await shop.read(0)
    assert data == (rig.origin.content(NAME) / "01.flac").read_bytes()[: len(data)]
    assert "cache" in str(shop.cache.trouble)
    (rig.root / "cache" / shop.meta.info_hash.hex).unlink()
    await shop.read(1)
    assert shop.cache.trouble is None


async def test_store_that_is_away_is_an_error_in_bounded_time(
    rig: NodeRig, place: BucketPlace
) -> None:
    shop = await uploaded(rig, place)
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    away = BucketPlace(place.bucket, place.prefix, f"http://{HOST}:{port}")
    origin = BucketOrigin(away, shop.cache)
    with pytest.raises(StorageError, match="cannot read s3://"):
        await trio.to_thread.run_sync(origin.torrent, shop.meta.name)


async def test_server_errors_are_retried(rig: NodeRig, place: BucketPlace) -> None:
    shop = await uploaded(rig, place)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(_faulty_proxy, str(place.endpoint))
        through = BucketPlace(place.bucket, place.prefix, f"http://{HOST}:{port}")
        shop.origin = BucketOrigin(through, shop.cache)
        data = await shop.read(0)
        assert len(data) == shop.meta.piece_length_bytes
        nursery.cancel_scope.cancel()


async def _faulty_proxy(
    endpoint: str, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answers 503 twice, then passes on."""
    refusals = iter(range(2))
    host, _, port = endpoint.removeprefix("http://").partition(":")

    async def serve(client: trio.SocketStream) -> None:
        request = await client.receive_some(65_536)
        if next(refusals, None) is not None:
            answer = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            await client.send_all(answer)
            return
        async with await trio.open_tcp_stream(host, int(port)) as server:
            await server.send_all(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            async for data in server:
                await client.send_all(data)

    listeners = await trio.open_tcp_listeners(0, host=HOST)
    task_status.started(listeners[0].socket.getsockname()[1])

    async def handle(client: trio.SocketStream) -> None:
        async with client:
            with contextlib.suppress(trio.BrokenResourceError):
                await serve(client)

    await trio.serve_listeners(handle, listeners)


@pytest.mark.parametrize(
    "url", ["s3://", "s3://B", "http://bucket", "s3://bucket/../x", "s3://a b"]
)
def test_place_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="s3://BUCKET"):
        BucketPlace.parse(url)
