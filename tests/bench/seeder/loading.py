"""Releases without payload, loaded by the shelf in a fresh process, and by libtorrent."""

import gc
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import libtorrent as lt
import trio

from client_lib.swarm.hardening import FFDHE2048_PEM
from client_lib.wire import bencode
from client_lib.wire.certificates import SeederIdentity
from client_lib.wire.licensing_api import CatalogueEntry, CataloguePage
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.piece_layers import merkle_root, padding_hash
from client_lib.wire.release import Album, AudioFormat, ReleaseId, TorrentName
from seeder.catalogue import Catalogue
from seeder.node import Policy
from seeder.origins.folder import FolderOrigin
from seeder.piece_memory import PieceMemory
from seeder.shelf import Shelf
from tests.pki import Leaf, SwarmPki, utc_now

TRACKS = 10
_PIECE_BYTES = 256 << 10
_FORMAT = AudioFormat("flac-16-44")


def loaded(
    root: Path, releases: int, pieces: int, *, by_libtorrent: bool = False
) -> dict[str, float]:
    """Bytes of memory per release, loads a second, and a second of CPU time."""
    if not root.exists():
        _make(root, releases, pieces)
    function = "load_by_libtorrent" if by_libtorrent else "load"
    script = f"from tests.bench.seeder.loading import {function} as load; load()"
    output = subprocess.run(
        [sys.executable, "-c", script], input=str(root), text=True, check=True, capture_output=True
    )
    measured: dict[str, float] = json.loads(output.stdout)
    return measured


def load() -> None:
    """Load all releases below the folder that standard input names, and print what it took."""
    root = Path(sys.stdin.read())
    print(json.dumps(trio.run(_load, root)))  # noqa: T201 - read by `loaded`


def load_by_libtorrent() -> None:
    """The same by a session: each torrent read, given its certificate, and started as a seed."""
    root = Path(sys.stdin.read())
    leaf = SwarmPki().issue(SeederIdentity("seeder-1"))
    session = lt.session({"listen_interfaces": "127.0.0.1:0s", "enable_dht": False})
    paths = sorted((root / "origin").glob("*.torrent"))
    first = _start(session, paths.pop(), leaf)
    gc.collect()
    before_bytes, before_s, before_cpu_s = _rss_bytes(), time.monotonic(), time.process_time()
    handles = [_start(session, path, leaf) for path in paths]
    while not all(handle.status().is_seeding for handle in (first, handles[-1])):
        time.sleep(0.001)
    took_s, took_cpu_s = time.monotonic() - before_s, time.process_time() - before_cpu_s
    measured = {
        "bytes": (_rss_bytes() - before_bytes) / len(paths),
        "loads_s": len(paths) / took_s,
        "loads_cpu_s": len(paths) / took_cpu_s,
    }
    print(json.dumps(measured))  # noqa: T201 - read by `loaded`


def _start(session: lt.session, path: Path, leaf: Leaf) -> lt.torrent_handle:
    params = lt.load_torrent_buffer(path.read_bytes())
    params.save_path = str(path.parent)
    params.flags &= ~lt.torrent_flags.auto_managed
    params.flags |= lt.torrent_flags.paused | lt.torrent_flags.seed_mode
    handle = session.add_torrent(params)
    handle.set_ssl_certificate_buffer(leaf.certificate_pem, leaf.key_pem, FFDHE2048_PEM)
    handle.resume()
    return handle


async def _load(root: Path) -> dict[str, float]:
    catalogue = Catalogue(root / "catalogue.sqlite3")
    names = sorted(path.stem for path in (root / "origin").glob("*.torrent"))
    shelf = Shelf(
        FolderOrigin(root / "origin"),
        catalogue,
        PieceMemory(1 << 20),
        Policy().tuning(),
        random.SystemRandom(),  # as a node
    )
    hashes = [catalogue.named(TorrentName(name)) for name in names]
    wanted = [listing.info_hash_hex[:40] for listing in hashes if listing is not None]
    await shelf.find(wanted.pop())  # what the first one costs is the node's start
    gc.collect()
    before_bytes, before_s, before_cpu_s = _rss_bytes(), time.monotonic(), time.process_time()
    for truncated_hex in wanted:
        assert await shelf.find(truncated_hex) is not None
    took_s, took_cpu_s = time.monotonic() - before_s, time.process_time() - before_cpu_s
    gc.collect()
    return {
        "bytes": (_rss_bytes() - before_bytes) / len(wanted),
        "loads_s": len(wanted) / took_s,
        "loads_cpu_s": len(wanted) / took_cpu_s,
    }


class _Feed:
    """Licensing, as far as the catalogue needs it."""

    def __init__(self, entries: list[CatalogueEntry]) -> None:
        self._entries = entries

    async def catalogue(self, since: int) -> CataloguePage:
        await trio.lowlevel.checkpoint()
        page = tuple(self._entries[since : since + 500])
        return CataloguePage(page, since + len(page))


def _make(root: Path, releases: int, pieces: int) -> None:
    """Albums of ten tracks whose hashes are noise, over files without blocks."""
    rng, pki, entries = random.Random(1), SwarmPki(), []
    length_bytes = pieces // TRACKS * _PIECE_BYTES
    for number in range(1, releases + 1):
        release_id = ReleaseId(f"rel-{number:05}")
        name = TorrentName(f"{release_id}.{_FORMAT}")
        layers = [rng.randbytes(32 * (pieces // TRACKS)) for _ in range(TRACKS)]
        torrent = _torrent(name, pki.ca_pem, layers, length_bytes)
        content = root / "origin" / name
        content.mkdir(parents=True)
        for track in range(TRACKS):
            (content / f"{track:02} track.flac").touch()
            os.truncate(content / f"{track:02} track.flac", length_bytes)
        (root / "origin" / f"{name}.torrent").write_bytes(torrent)
        meta = Metainfo.from_bytes(torrent)
        entries.append(
            CatalogueEntry(
                number,
                release_id,
                _FORMAT,
                name,
                meta.info_hash.hex,
                meta.size_bytes,
                Album(artist="Artist", title="Title"),
                utc_now(),
            )
        )
    feed: Any = _Feed(entries)
    trio.run(Catalogue(root / "catalogue.sqlite3").refresh, feed)


def _torrent(name: str, ca_pem: str, layers: list[bytes], length_bytes: int) -> bytes:
    padding = padding_hash(_PIECE_BYTES)
    roots = [merkle_root(layer, padding) for layer in layers]
    tree = {
        f"{track:02} track.flac".encode(): {
            b"": {b"length": length_bytes, b"pieces root": merkle},
        }
        for track, merkle in enumerate(roots)
    }
    info = {
        b"file tree": tree,
        b"meta version": 2,
        b"name": name.encode(),
        b"piece length": _PIECE_BYTES,
        b"private": 1,
        b"ssl-cert": ca_pem.encode(),
    }
    document: Any = {b"info": info, b"piece layers": dict(zip(roots, layers, strict=True))}
    return bencode.encode(document)


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
