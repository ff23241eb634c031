import hashlib
from pathlib import Path

import pytest

from client_lib.errors import MetainfoError, StorageError
from client_lib.swarm.create import create_torrent, suitable_piece_length
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from tests.pki import SwarmPki

NAME = TorrentName("rel-0001.flac-16-44")
PKI = SwarmPki()


def make_album(where: Path) -> Path:
    folder = where / NAME
    (folder / "CD 2 - Ünïcode").mkdir(parents=True)
    (folder / "02 b.flac").write_bytes(bytes(range(256)) * 1_000)
    (folder / "01 a.flac").write_bytes(b"a" * 300_001)
    (folder / "CD 2 - Ünïcode" / "01 ж.flac").write_bytes(b"z" * 70_000)
    (folder / "empty.txt").touch()
    return folder


def test_torrent_is_sealed_private_and_lists_every_file(tmp_path: Path) -> None:
    folder = make_album(tmp_path)
    torrent = Metainfo.from_bytes(create_torrent(folder, name=NAME, ca_pem=PKI.ca_pem))
    assert torrent.name == NAME
    assert torrent.ssl_cert == PKI.ca_pem
    assert torrent.announce_tiers == ()
    assert {"/".join(file.path): file.length_bytes for file in torrent.files} == {
        "01 a.flac": 300_001,
        "02 b.flac": 256_000,
        "CD 2 - Ünïcode/01 ж.flac": 70_000,
        "empty.txt": 0,
    }


def test_piece_hashes_are_those_of_the_content(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    content = bytes(range(256)) * 64 * 2  # two blocks of 16 KiB
    (folder / "a").write_bytes(content)
    (folder / "b").touch()
    data = create_torrent(folder, name=NAME, ca_pem=PKI.ca_pem, piece_length_bytes=1 << 16)
    leaves = [hashlib.sha256(content[i : i + 16_384]).digest() for i in (0, 16_384)]
    expected = hashlib.sha256(leaves[0] + leaves[1]).digest()  # BEP 52
    assert Metainfo.from_bytes(data).files[0].pieces_root == expected


def test_same_content_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create_torrent(make_album(tmp_path / "a"), name=NAME, ca_pem=PKI.ca_pem)
    other = make_album(tmp_path / "b")
    (other / "01 a.flac").touch()
    # A comment before the CA must not make another swarm.
    assert create_torrent(other, name=NAME, ca_pem="store CA\n" + PKI.ca_pem) == first
    assert b"creation date" not in first


def test_progress_reaches_the_end_and_never_goes_back(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    create_torrent(
        make_album(tmp_path),
        name=NAME,
        ca_pem=PKI.ca_pem,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (626_001, 626_001)


def test_exception_in_progress_stops_hashing(tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        create_torrent(make_album(tmp_path), name=NAME, ca_pem=PKI.ca_pem, on_progress=stop)


def test_what_makes_no_torrent_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "empty").touch()
    with pytest.raises(MetainfoError, match="empty"):
        create_torrent(folder, name=NAME, ca_pem=PKI.ca_pem)
    (folder / "a").write_bytes(b"a")
    with pytest.raises(MetainfoError, match="piece length"):
        create_torrent(folder, name=NAME, ca_pem=PKI.ca_pem, piece_length_bytes=100_000)
    (folder / "link").symlink_to("a")
    with pytest.raises(StorageError, match="link is not a plain file"):
        create_torrent(folder, name=NAME, ca_pem=PKI.ca_pem)


@pytest.mark.parametrize(
    ("size_bytes", "smallest", "largest"),
    [
        (1, 65_536, 65_536),
        (50 * 10**6, 65_536, 262_144),
        (500 * 10**6, 65_536, 262_144),
        (10 * 10**9, 1 << 19, 1 << 22),
        (10**12, 1 << 22, 1 << 24),
    ],
)
def test_piece_length_suits_the_size(size_bytes: int, smallest: int, largest: int) -> None:
    assert smallest <= suitable_piece_length(size_bytes) <= largest
