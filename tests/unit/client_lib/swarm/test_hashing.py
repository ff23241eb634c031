import os
from hashlib import sha256
from pathlib import Path

import libtorrent as lt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from client_lib.errors import StorageError
from client_lib.swarm.create import create_torrent, torrent_of
from client_lib.swarm.hashing import ContentFile, hash_files
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from tests.pki import SwarmPki

NAME = TorrentName("rel-0001.flac")
PKI = SwarmPki()
KIB, MIB = 1 << 10, 1 << 20


def by_libtorrent(folder: Path, piece_length_bytes: int) -> bytes:
    """libtorrent's own torrent of a folder."""
    torrent = lt.create_torrent(
        lt.list_files(str(folder)),
        piece_length_bytes,
        lt.create_torrent.v2_only | lt.create_torrent.no_attributes,
    )
    torrent.set_priv(True)
    torrent.set_root_cert(PKI.ca_pem)
    lt.set_piece_hashes(torrent, str(folder.parent))
    document = torrent.generate()
    del document[b"creation date"]
    return lt.bencode(document)


def write(folder: Path, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        below = folder / "CD 2 - Ünïcode" if number % 3 == 1 else folder
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number:02} ж.flac").write_bytes(os.urandom(1) * size)


EDGES = [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 64 * KIB, 512 * KIB, 512 * KIB + 1, MIB + 7]


@given(
    sizes=st.lists(st.sampled_from(EDGES) | st.integers(0, 3 * MIB), min_size=2, max_size=6),
    piece_length_bytes=st.sampled_from([16 * KIB, 64 * KIB, 512 * KIB, MIB, 4 * MIB]),
)
@example(sizes=[MIB + 7, 512 * KIB + 1], piece_length_bytes=MIB)
@example(sizes=[9 * MIB + 7, 5 * MIB], piece_length_bytes=4 * MIB)
@settings(max_examples=25, deadline=None)
def test_torrent_is_byte_for_byte_that_of_libtorrent(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], piece_length_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("album") / NAME
    write(folder, [*sizes, 1])
    ours = create_torrent(
        folder, name=NAME, ca_pem=PKI.ca_pem, piece_length_bytes=piece_length_bytes
    )
    assert ours == by_libtorrent(folder, piece_length_bytes)


async def test_all_cores_copy_and_hash_what_one_hashes(tmp_path: Path) -> None:
    folder, copy = tmp_path / NAME, tmp_path / "copy"
    write(folder, [17 * MIB + 5, 0, 8 * MIB, 3, 16 * KIB])
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [
        ContentFile(
            path.relative_to(folder).parts,
            path,
            path.stat().st_size,
            copy / path.relative_to(folder),
        )
        for path in found
    ]
    seen: list[tuple[int, int]] = []
    torrent, meta = await torrent_of(
        files, name=NAME, ca_pem=PKI.ca_pem, on_progress=lambda *done: seen.append(done)
    )
    assert torrent == create_torrent(folder, name=NAME, ca_pem=PKI.ca_pem)
    assert meta == Metainfo.from_bytes(torrent)
    assert seen == sorted(seen)
    assert seen[-1] == (sum(file.size_bytes for file in files),) * 2
    for path in found:
        assert (copy / path.relative_to(folder)).read_bytes() == path.read_bytes()


async def test_whole_files_are_hashed_on_the_way_if_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    write(folder, [17 * MIB + 5, 0, 8 * MIB, 3, 16 * KIB])
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [
        ContentFile(path.relative_to(folder).parts, path, path.stat().st_size) for path in found
    ]
    torrent, meta = await torrent_of(files, name=NAME, ca_pem=PKI.ca_pem, checksums=True)
    assert torrent == create_torrent(folder, name=NAME, ca_pem=PKI.ca_pem, checksums=True)
    assert {file.path: file.sha256 for file in meta.files} == {
        path.relative_to(folder).parts: sha256(data).digest()
        if (data := path.read_bytes())
        else None
        for path in found
    }
    # To libtorrent it is a torrent of the same files, under another info-hash.
    plain = lt.load_torrent_buffer(create_torrent(folder, name=NAME, ca_pem=PKI.ca_pem)).ti
    said = lt.load_torrent_buffer(torrent).ti
    assert plain is not None
    assert said is not None
    layout, other = said.layout(), plain.layout()
    assert [(layout.file_path(i), layout.root(i)) for i in range(layout.num_files())] == [
        (other.file_path(i), other.root(i)) for i in range(other.num_files())
    ]
    assert said.info_hashes().v2 != plain.info_hashes().v2


async def test_file_that_is_short_missing_or_a_link_is_refused(tmp_path: Path) -> None:
    path, missing, link = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    path.write_bytes(b"a" * 100)
    link.symlink_to(path)
    with pytest.raises(StorageError, match="changed while it was being read"):
        await hash_files([ContentFile(("a",), path, 101)], 16 * KIB)
    for wrong in (missing, link):
        with pytest.raises(StorageError, match="cannot open"):
            await hash_files([ContentFile(("a",), wrong, 100)], 16 * KIB)
    with pytest.raises(StorageError, match="cannot write"):
        await hash_files([ContentFile(("a",), path, 100, copy_to=path)], 16 * KIB)
    assert path.read_bytes() == b"a" * 100
