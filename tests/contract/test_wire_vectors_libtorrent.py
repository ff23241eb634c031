"""Our parsers against libtorrent's: it reads every torrent after us, and must read the same.

The other way round, what libtorrent builds for this network (v2-only, private, sealed) must be
ours to read. BEP 35 signatures, which libtorrent lacks, are checked by the `openssl` command.
"""

import datetime as dt
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from client_lib.errors import BencodeError, MetainfoError
from client_lib.wire import bencode
from client_lib.wire.bencode import Decoded
from client_lib.wire.certificates import SignerIdentity
from client_lib.wire.licence import licence_id_from
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import parse_torrent_name
from client_lib.wire.signature import Stamp, stamp, verify_stamp
from tests.unit.client_lib.wire.strategies import damaged, values
from tests.unit.client_lib.wire.torrents import NAME, Draft, swarm

STORE = "com.example.shop"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
LICENCE = licence_id_from(b"licence number 1")
ALBUM = {
    "01 Überraschung.flac": 300_000,
    "02 日本の歌 😀.flac": 262_144,
    "Disc 2 Øst/01 a.flac": 70_000,
    "Disc 2 Øst/Scans/cover (front).jpg": 16_384,
    "Disc 2 Øst/Scans/e\u0301.jpg": 16_385,
    "Disc 2.flac": 1,
    "album.cue": 0,
    "Folder/deep/er/and/deeper/05.flac": 131_073,
}


class Loaded:
    """A torrent as libtorrent reads it."""

    def __init__(self, data: bytes) -> None:
        self.params = lt.load_torrent_buffer(data)
        info = self.params.ti
        assert info is not None
        self.info: lt.torrent_info = info
        layout = info.layout()
        self.files = [
            (layout.file_path(index), layout.file_size(index))
            for index in range(layout.num_files())
            if not layout.file_flags(index) & lt.file_storage.flag_pad_file
        ]

    @property
    def info_hash(self) -> bytes:
        return self.info.info_hashes().v2.to_bytes()


def agree(torrent: Metainfo, loaded: Loaded) -> None:
    assert loaded.info_hash == torrent.info_hash.sha256
    assert loaded.info.name() == torrent.name
    assert loaded.info.ssl_cert() == torrent.ssl_cert
    assert loaded.info.piece_length() == torrent.piece_length_bytes
    assert loaded.info.priv()
    assert not loaded.info.info_hashes().has_v1()
    assert loaded.files == [
        ("/".join((torrent.name, *file.path)), file.length_bytes) for file in torrent.files
    ]
    urls = [url for tier in torrent.announce_tiers for url in tier]
    tiers = [n for n, tier in enumerate(torrent.announce_tiers) for _ in tier]
    assert loaded.params.trackers == urls
    assert loaded.params.tracker_tiers == tiers
    assert not loaded.params.url_seeds
    assert not loaded.params.dht_nodes


@settings(max_examples=300)
@given(values)
def test_values_read_the_same_and_are_spelt_the_same(value: Decoded) -> None:
    data = bencode.encode(value)
    assert lt.bdecode(data) == value
    entry: Any = value
    assert lt.bencode(entry) == data


@settings(max_examples=500)
@given(values.flatmap(lambda value: damaged(bencode.encode(value))))
def test_what_we_accept_libtorrent_reads_to_the_same_value(data: bytes) -> None:
    try:
        value = bencode.decode(data)
    except BencodeError:
        return
    assert lt.bdecode(data) == value


def build(folder: Path, piece_length: int, flags: int = 0) -> bytes:
    """Let libtorrent hash a folder, as a seeder publishes it."""
    files = lt.list_files(str(folder), flags=flags)
    torrent = lt.create_torrent(files, piece_length, lt.create_torrent.v2_only | flags)
    torrent.set_priv(True)
    torrent.set_root_cert(swarm().ca_pem)
    lt.set_piece_hashes(torrent, str(folder.parent))
    return lt.bencode(torrent.generate())


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("albums") / NAME
    for number, (path, size) in enumerate(ALBUM.items()):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([number + 1]) * size)
    (root / "01 Überraschung.flac").chmod(0o755)
    return root


@pytest.fixture(scope="module")
def built(album: Path) -> bytes:
    return build(album, 32 << 10)


@pytest.mark.parametrize("piece_length", [16 << 10, 32 << 10, 64 << 10, 256 << 10, 1 << 20])
@pytest.mark.parametrize("flags", [0, lt.create_torrent.modification_time])
def test_torrents_that_libtorrent_builds_are_read(
    album: Path, piece_length: int, flags: int
) -> None:
    data = build(album, piece_length, flags)
    torrent = Metainfo.from_bytes(data)
    agree(torrent, Loaded(data))
    assert torrent.name == NAME
    assert {"/".join(file.path): file.length_bytes for file in torrent.files} == ALBUM
    whole: Any = lt.bdecode(data)
    assert torrent.info == lt.bencode(whole[b"info"])
    assert torrent.piece_layers == lt.bencode(whole.get(b"piece layers", {}))
    layers: Any = bencode.decode(torrent.piece_layers)
    assert len(layers) == sum(size > piece_length for size in ALBUM.values())


def test_hashing_by_the_book_gives_libtorrents_torrent(album: Path, built: bytes) -> None:
    draft = Draft({path: (album / path).read_bytes() for path in ALBUM}, 32 << 10)
    draft.tree["01 Überraschung.flac".encode()][b""][b"attr"] = b"x"
    by_the_book = Metainfo.from_bytes(draft.encode())
    agree(by_the_book, Loaded(draft.encode()))
    theirs = Metainfo.from_bytes(built)
    assert by_the_book.info_hash == theirs.info_hash
    assert by_the_book.piece_layers == theirs.piece_layers


def test_symbolic_links_of_libtorrent_are_refused(tmp_path: Path) -> None:
    root = tmp_path / NAME
    root.mkdir()
    (root / "a").write_bytes(b"a" * 20_000)
    (root / "b").symlink_to("a")
    with pytest.raises(MetainfoError, match="file 'b'"):
        Metainfo.from_bytes(build(root, 16 << 10, lt.create_torrent.symlinks))


def test_a_lone_file_would_rename_the_torrent_so_it_is_refused(tmp_path: Path) -> None:
    root = tmp_path / NAME
    root.mkdir()
    (root / "single.flac").write_bytes(b"a" * 20_000)
    data = build(root, 16 << 10)
    assert Loaded(data).info.name() == "single.flac"
    with pytest.raises(MetainfoError, match="lone file"):
        Metainfo.from_bytes(data)


@pytest.mark.parametrize("kind", ["v1", "hybrid", "public", "unsealed"])
def test_other_kinds_of_torrent_are_refused(album: Path, kind: str) -> None:
    flags = {"v1": lt.create_torrent.v1_only, "hybrid": 0}.get(kind, lt.create_torrent.v2_only)
    torrent = lt.create_torrent(lt.list_files(str(album)), 32 << 10, flags)
    torrent.set_priv(kind != "public")
    if kind != "unsealed":
        torrent.set_root_cert(swarm().ca_pem)
    lt.set_piece_hashes(torrent, str(album.parent))
    with pytest.raises(MetainfoError):
        Metainfo.from_bytes(lt.bencode(torrent.generate()))


NAMES = (
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=6
    )
    | st.sampled_from([".", "..", ".pad", "16383", "A", "a", "\u202e", "a\\b", "\u00e9", "e\u0301"])
    | st.integers(230, 240).map(lambda length: "n" * length + ".flac")
)


@settings(max_examples=500)
@given(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    folder=st.sampled_from(["d", "D ", "...", ".pad"]) | NAMES,
)
def test_names_that_we_accept_libtorrent_writes_unchanged(names: list[str], folder: str) -> None:
    draft = Draft({f"{folder}/{name}": b"x" for name in names} | {"-": b"x"}, 16 << 10)
    try:
        torrent = Metainfo.from_bytes(draft.encode())
    except MetainfoError:
        return
    agree(torrent, Loaded(draft.encode()))


@settings(max_examples=300)
@given(st.data())
def test_damage_never_makes_us_read_another_torrent_than_libtorrent(
    built: bytes, data: st.DataObject
) -> None:
    bent = data.draw(damaged(built))
    try:
        torrent = Metainfo.from_bytes(bent)
    except MetainfoError:
        return
    agree(torrent, Loaded(bent))


def test_every_cut_of_a_torrent_is_refused(built: bytes) -> None:
    for length in range(len(built)):
        with pytest.raises(MetainfoError):
            Metainfo.from_bytes(built[:length])


def test_the_largest_album_that_we_accept_loads() -> None:
    """100,000 files are within libtorrent's own limits on tokens, pieces and size."""
    draft = Draft({}, 16 << 10)
    for number in range(100_000):
        root = (number + 1).to_bytes(32, "big")
        folder = draft.tree.setdefault(b"%02d" % (number % 100), {})
        folder[b"%05d.flac" % number] = {b"": {b"length": 16_384, b"pieces root": root}}
    data = draft.encode()
    assert len(Metainfo.from_bytes(data).files) == len(Loaded(data).files) == 100_000


SIGNER = swarm().issue(SignerIdentity(1, STORE))


def stamped(built: bytes, *hosts: tuple[str, ...]) -> bytes:
    tiers = tuple(tuple(f"https://{host}/announce/{LICENCE}" for host in tier) for tier in hosts)
    return stamp(
        Metainfo.from_bytes(built),
        Stamp(LICENCE, parse_torrent_name(NAME), tiers, NOW),
        store=STORE,
        certificate=SIGNER.certificate,
        key=SIGNER.key,
    )


@pytest.mark.parametrize(
    "hosts",
    [
        (("localhost:8444",),),
        (("a.example",), ("b.example:1", "[::1]:8444"), ("c.example",)),
        (("a.example", "b.example"),),
    ],
)
def test_stamped_torrents_load_with_their_trackers(
    built: bytes, hosts: tuple[tuple[str, ...], ...]
) -> None:
    data = stamped(built, *hosts)
    loaded = Loaded(data)
    torrent = Metainfo.from_bytes(data)
    agree(torrent, loaded)
    assert loaded.info_hash == Loaded(built).info_hash
    expected = [f"https://{host}/announce/{LICENCE}" for tier in hosts for host in tier]
    assert loaded.params.trackers == expected
    assert verify_stamp(torrent, ca=swarm().ca, now=NOW).issued_at == NOW


def test_a_stamped_torrent_without_piece_layers_loads() -> None:
    """Every file fits into one piece."""
    data = stamped(Draft(piece_length=1 << 20).encode(), ("localhost:8444",))
    agree(Metainfo.from_bytes(data), Loaded(data))


@pytest.fixture
def openssl() -> str:
    binary = shutil.which("openssl")
    if binary is None:
        pytest.skip("no openssl command: the stamp's signature is not checked a second way")
    return binary


@pytest.mark.parametrize("tampered", [False, True])
def test_openssl_verifies_a_stamp(
    built: bytes, openssl: str, tmp_path: Path, tampered: bool
) -> None:
    torrent: Any = lt.bdecode(stamped(built, ("localhost:8444",)))
    entry = torrent[b"signatures"][STORE.encode()]
    certificate = x509.load_der_x509_certificate(entry[b"certificate"])
    key, signature, signed = (tmp_path / name for name in ("key.pem", "signature", "signed"))
    key.write_bytes(
        certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    if tampered:
        torrent[b"info"][b"piece length"] *= 2
    signature.write_bytes(entry[b"signature"])
    signed.write_bytes(lt.bencode(torrent[b"info"]) + lt.bencode(entry[b"info"]))
    answer = subprocess.run(
        [openssl, "dgst", "-sha256", "-verify", key, "-signature", signature, signed],
        capture_output=True,
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )
    expected = (1, b"Verification failure") if tampered else (0, b"Verified OK")
    assert (answer.returncode, answer.stdout.strip()) == expected
