import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from client_lib.errors import MetainfoError
from client_lib.wire import bencode
from client_lib.wire.metainfo import Metainfo, TorrentFile
from tests.unit.client_lib.wire.strategies import damaged
from tests.unit.client_lib.wire.torrents import NAME, Draft, hash_tree, swarm

URL = b"https://tracker.example/announce/x"
LEAF = {b"": {b"length": 1, b"pieces root": b"r" * 32}}
SIGNATURE: dict[bytes, Any] = {b"certificate": b"c", b"info": {b"a": 1}, b"signature": b"s"}


def refuses(draft: Draft, reason: str) -> None:
    with pytest.raises(MetainfoError, match=reason):
        Metainfo.from_bytes(draft.encode())


def with_tree(tree: dict[bytes, Any]) -> Draft:
    draft = Draft()
    draft.info[b"file tree"] = tree
    draft.layers.clear()
    return draft


def test_a_published_torrent_is_read() -> None:
    draft = Draft()
    torrent = Metainfo.from_bytes(draft.encode())
    assert torrent.name == NAME
    assert torrent.piece_length_bytes == 32 << 10
    assert torrent.size_bytes == 70_000 + 100_000 + 32_768
    assert torrent.ssl_cert == draft.ssl_cert
    assert torrent.ssl_cert_der == swarm().ca.public_bytes(serialization.Encoding.DER)
    assert torrent.info_hash.sha256 == hashlib.sha256(bencode.encode(draft.info)).digest()
    assert torrent.piece_layers == bencode.encode(draft.layers)
    assert torrent.announce_tiers == ()
    assert torrent.signatures == {}
    exact = b"\x03" * 32_768
    assert torrent.files == (
        TorrentFile(
            ("01 Überraschung.flac",), 70_000, hash_tree(b"\x01" * 70_000, draft.piece_length)[0]
        ),
        TorrentFile(
            ("Disc 2", "01 日本.flac"), 100_000, hash_tree(b"\x02" * 100_000, draft.piece_length)[0]
        ),
        TorrentFile(
            ("Disc 2", "exact piece.flac"), 32_768, hash_tree(exact, draft.piece_length)[0]
        ),
        TorrentFile(("empty.txt",), 0, None),
    )
    assert hash(torrent) == hash(Metainfo.from_bytes(draft.encode()))


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 600_000), min_size=2, max_size=3).filter(any),
    piece_length=st.sampled_from([16 << 10, 32 << 10, 128 << 10]),
)
def test_layers_of_any_size_hash_to_their_roots(sizes: list[int], piece_length: int) -> None:
    files = {f"{number}.bin": b"%d" % number * size for number, size in enumerate(sizes)}
    torrent = Metainfo.from_bytes(Draft(files, piece_length).encode())
    assert [file.length_bytes for file in torrent.files] == [len(data) for data in files.values()]


@settings(max_examples=300)
@given(damaged(Draft().encode()))
def test_damage_never_gives_another_torrent_or_another_error(data: bytes) -> None:
    try:
        torrent = Metainfo.from_bytes(data)
    except MetainfoError:
        return
    whole = bencode.decode(data)
    assert isinstance(whole, dict)
    assert torrent.info == bencode.encode(whole[b"info"])
    assert torrent.info in data


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"meta version", None),
        (b"meta version", 1),
        (b"meta version", b"2"),
        (b"private", None),
        (b"private", 0),
        (b"private", b"1"),
        (b"name", None),
        (b"name", b""),
        (b"name", b"../etc.passwd"),
        (b"name", b"rel-0001.flac\n"),
        (b"name", "rel-äöü.flac".encode()),
        (b"name", b"*"),
        (b"name", [NAME.encode()]),
        (b"ssl-cert", None),
        (b"ssl-cert", b""),
        (b"ssl-cert", b"not a certificate"),
        (b"ssl-cert", 7),
        (b"piece length", None),
        (b"piece length", 0),
        (b"piece length", -16384),
        (b"piece length", 8192),
        (b"piece length", 48 << 10),
        (b"piece length", 1 << 29),
        (b"piece length", 1 << 62),
        (b"piece length", b"32768"),
        (b"file tree", None),
        (b"file tree", {}),
        (b"file tree", []),
        (b"pieces", b"x" * 20),
        (b"files", []),
        (b"length", 5),
        # libtorrent takes this before `name`, and matches certificates to it.
        (b"name.utf-8", b"rel-0002.flac-24-96"),
        (b"root hash", b"r" * 20),
    ],
)
def test_only_sealed_private_v2_info_is_read(key: bytes, value: Any) -> None:  # noqa: ANN401
    draft = Draft()
    if value is None:
        del draft.info[key]
    else:
        draft.info[key] = value
    refuses(draft, "info|file tree|piece length")


def test_several_certificates_or_words_around_one_are_refused() -> None:
    pem = Draft().ssl_cert
    trusted = pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE")
    texts = [pem + pem, trusted + pem, "words\n" + pem, pem + "words", pem * 20, pem[:-20]]
    for text in [*texts, pem.replace("M", "=", 1), pem.replace("M", "M=", 1)]:
        refuses(Draft(ssl_cert=text), "exactly one PEM certificate|longer than")


@pytest.mark.parametrize("key", [b"httpseeds", b"nodes", b"azureus_properties", b""])
def test_sources_that_nobody_signs_for_are_refused(key: bytes) -> None:
    draft = Draft()
    draft.torrent[key] = [b"http://seed.example/"]
    refuses(draft, "is no key of this network's torrents")


@pytest.mark.parametrize(
    "data", [b"", b"de", b"le", b"i1e", b"4:info", b"d4:infolee", b"d4:infodee"]
)
def test_values_that_are_no_torrent_are_refused(data: bytes) -> None:
    with pytest.raises(MetainfoError):
        Metainfo.from_bytes(data)


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"..",
        b"/",
        b"a/b",
        b"../b",
        b"a\\b",
        b"..\\b",
        b"C:",
        b"c:b",
        b"a\0b",
        b"a\nb",
        b"\x1b[2J",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        "a\u0085b".encode(),
        "a\u202eb".encode(),
        "a\u200db".encode(),
        "\ufeffa".encode(),
        b".pad",
        b"n" * 241,
    ],
)
@pytest.mark.parametrize("as_folder", [False, True])
def test_unsafe_names_are_refused(name: bytes, as_folder: bool) -> None:
    node = {b"x": LEAF} if as_folder else LEAF
    refuses(with_tree({name: node, b"zz": LEAF}), "file name|folder|neither|both")


def test_unusual_but_safe_names_are_read() -> None:
    names = ["...", " a", "-", "AC:DC", "a%2fb", "con", "日本", "n" * 240, "~", "😀", "a\u0301"]
    tree = {name.encode(): LEAF for name in names}
    torrent = Metainfo.from_bytes(with_tree(tree).encode())
    assert {file.path for file in torrent.files} == {(name,) for name in names}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.flac", "A.FLAC"),
        ("\u00e9", "e\u0301"),
        ("\u00c9", "\u00e9"),
        ("\u212b", "\u00e5"),
        ("ß", "SS"),
    ],
)
@pytest.mark.parametrize("node", [LEAF, {b"x": LEAF}])
def test_names_that_other_file_systems_merge_are_refused(
    one: str, other: str, node: dict[bytes, Any]
) -> None:
    refuses(with_tree({one.encode(): LEAF, other.encode(): node}), "differs only in case")


@pytest.mark.parametrize(
    "tree",
    [
        {b"a": {b"": LEAF[b""], b"b": LEAF}, b"z": LEAF},  # file and folder
        {b"a": {}, b"z": LEAF},  # empty folder
        {b"a": {b"b": {}}, b"z": LEAF},
        {b"a": 5, b"z": LEAF},
        {b"a": b"x", b"z": LEAF},
        {b"a": [LEAF], b"z": LEAF},
        {b"a": {b"": 5}, b"z": LEAF},
        {b"a": {b"": {}}, b"z": LEAF},
        {b"": LEAF[b""]},
        {b"": LEAF},
        {b"lone": LEAF},
        {b"a": {b"": {b"length": 0}}, b"z": {b"": {b"length": 0}}},
    ],
)
def test_misshapen_file_trees_are_refused(tree: dict[bytes, Any]) -> None:
    refuses(with_tree(tree), "file|folder")


def test_a_lone_file_in_a_subfolder_is_read() -> None:
    assert len(Metainfo.from_bytes(with_tree({b"d": {b"lone": LEAF}}).encode()).files) == 1


@pytest.mark.parametrize(
    "change",
    [
        {b"length": -1},
        {b"length": b"1"},
        {b"length": (1 << 48) + 1},
        {b"length": (1 << 63) - 1},
        {b"length": 0},  # with a root
        {b"pieces root": b"r" * 31},
        {b"pieces root": 7},
        {b"pieces root": bytes(32)},
        {b"attr": b"l"},
        {b"attr": b"p"},
        {b"attr": b"xl"},
        {b"attr": 1},
        {b"symlink path": [b"..", b"etc"]},
        {b"sha1": b"s" * 20},
        {b"sha256": b"s" * 31},
        {b"sha256": 7},
        {b"mtime": b"now"},
    ],
)
def test_misshapen_files_are_refused(change: dict[bytes, Any]) -> None:
    refuses(with_tree({b"a": {b"": LEAF[b""] | change}, b"z": LEAF}), "^file 'a': ")


@pytest.mark.parametrize("change", [{b"attr": b"x"}, {b"attr": b"hx"}, {b"mtime": 5}])
def test_harmless_file_properties_are_read(change: dict[bytes, Any]) -> None:
    Metainfo.from_bytes(with_tree({b"a": {b"": LEAF[b""] | change}, b"z": LEAF}).encode())


def test_a_digest_of_an_empty_file_is_refused() -> None:
    refuses(with_tree({b"a": {b"": {b"length": 0, b"sha256": b"s" * 32}}, b"z": LEAF}), "^file 'a'")


def test_digests_of_whole_files_are_read() -> None:
    said = {b"": LEAF[b""] | {b"sha256": b"s" * 32}}
    some = Metainfo.from_bytes(with_tree({b"a": said, b"z": LEAF}).encode())
    assert [file.sha256 for file in some.files] == [b"s" * 32, None]
    assert not some.has_checksums
    empty = {b"": {b"length": 0}}
    assert Metainfo.from_bytes(with_tree({b"a": said, b"e": empty}).encode()).has_checksums


def test_sizes_are_bounded_in_sum() -> None:
    half = {b"length": 1 << 47}
    tree = {
        b"%d" % number: {b"": half | {b"pieces root": b"%d" % number * 32}} for number in range(3)
    }
    refuses(with_tree(tree), "add up to more than")


def test_number_of_files_is_bounded() -> None:
    tree = {b"%06d" % number: LEAF for number in range(100_001)}
    refuses(with_tree(tree), "more than 100000 files")
    del tree[b"000000"]
    assert len(Metainfo.from_bytes(with_tree(tree).encode()).files) == 100_000


def test_thousands_of_levels_are_refused() -> None:
    start, key, rest = Draft().encode().partition(b"9:file tree")
    assert key
    with pytest.raises(MetainfoError, match="nested deeper"):
        Metainfo.from_bytes(start + key + b"d1:a" * 100_000 + rest)


def test_long_paths_are_refused() -> None:
    tree: dict[bytes, Any] = {b"f": LEAF}
    for _ in range(5):
        tree = {b"d" * 200: tree}
    refuses(with_tree(tree), "path is longer than")


def bend(change: Callable[[dict[bytes, Any], bytes], None]) -> Draft:
    draft = Draft()
    change(draft.layers, min(draft.layers))
    return draft


@pytest.mark.parametrize(
    "draft",
    [
        bend(lambda layers, root: layers.pop(root)),
        bend(lambda layers, root: layers.update({b"x" * 32: layers[root]})),
        bend(lambda layers, root: layers.update({b"x": layers.pop(root)})),
        bend(lambda layers, root: layers.update({root: layers[root][:-32]})),
        bend(lambda layers, root: layers.update({root: layers[root] + bytes(32)})),
        bend(lambda layers, root: layers.update({root: layers[root] + layers[root][-32:]})),
        bend(lambda layers, root: layers.update({root: bytes(len(layers[root]))})),
        bend(lambda layers, root: layers.update({root: layers[root][32:] + layers[root][:32]})),
        bend(lambda layers, root: layers.update({root: b"\xff" + layers[root][1:]})),
        bend(lambda layers, root: layers.update({root: 5})),
        bend(lambda layers, root: layers.update({root: [layers[root]]})),
        bend(lambda layers, _: layers.clear()),
    ],
)
def test_piece_layers_that_lie_are_refused(draft: Draft) -> None:
    refuses(draft, "piece layer")


def test_a_layer_for_a_file_of_one_piece_is_refused() -> None:
    draft = Draft()
    root, layer = hash_tree(b"\x03" * 32_768, draft.piece_length)
    draft.layers[root] = layer
    refuses(draft, "belong to no file")


def test_equal_files_share_a_layer_and_only_equal_ones() -> None:
    draft = Draft({"a": b"x" * 70_000, "b/c": b"x" * 70_000})
    assert len(draft.layers) == 1
    assert len(Metainfo.from_bytes(draft.encode()).files) == 2
    draft.tree[b"a"][b""][b"length"] += 1
    refuses(draft, "another file of other length")


def test_a_layer_that_many_files_share_is_hashed_once() -> None:
    """Hashing it for each file would take an hour."""
    draft = Draft({"first": b"x" * (64 << 20), "z": b"z"}, 16 << 10)
    for number in range(50_000):
        draft.tree[b"%05d" % number] = draft.tree[b"first"]
    assert len(Metainfo.from_bytes(draft.encode()).files) == 50_002


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        (None, ((URL.decode(),),)),
        ([[URL]], ((URL.decode(),),)),
        (
            [[URL, b"https://[::1]:8444/announce"], [b"https://b.example:1/announce"]],
            (
                (URL.decode(), "https://[::1]:8444/announce"),
                ("https://b.example:1/announce",),
            ),
        ),
    ],
)
def test_announce_tiers_are_read(tiers: Any, expected: object) -> None:  # noqa: ANN401
    draft = Draft()
    draft.torrent[b"announce"] = URL
    if tiers is not None:
        draft.torrent[b"announce-list"] = tiers
    assert Metainfo.from_bytes(draft.encode()).announce_tiers == expected


@pytest.mark.parametrize(
    "url",
    [
        b"http://tracker.example/announce",  # asked without any gate by libtorrent
        b"udp://tracker.example:80/announce",
        b"HTTPS://tracker.example/announce",
        b"https://tracker.example",
        b"https:///announce",
        b"https://user@tracker.example/announce",
        b"https://tracker.example\\@evil.example/announce",
        b"https://tracker.example/announce#x",
        b"https://tracker.example/ann ounce",
        b"https://tracker.example/announce\n",
        "https://träcker.example/announce".encode(),
        b"https://tracker.example/" + b"a" * 2_000,
        b"",
        7,
        [URL],
    ],
)
def test_announce_urls_other_than_https_are_refused(url: object) -> None:
    draft = Draft()
    draft.torrent[b"announce"] = url
    refuses(draft, "announce URL")
    draft.torrent |= {b"announce": URL, b"announce-list": [[URL], [url]]}
    refuses(draft, "announce URL")


@pytest.mark.parametrize(
    "tiers",
    [
        [],
        [[]],
        [URL],
        URL,
        [[URL], []],
        [[URL], [URL]],
        [[b"https://other.example/announce"]],
        [[b"https://other.example/announce"], [URL]],
        [[URL], *([b"https://%d.example/announce" % n] for n in range(64))],
    ],
)
def test_misshapen_announce_lists_are_refused(tiers: object) -> None:
    draft = Draft()
    draft.torrent |= {b"announce": URL, b"announce-list": tiers}
    refuses(draft, "announce")


def test_an_announce_list_without_announce_is_refused() -> None:
    draft = Draft()
    draft.torrent[b"announce-list"] = [[URL]]
    refuses(draft, "announce is not the first URL")


@pytest.mark.parametrize(
    "signatures",
    [
        [],
        b"",
        {b"com.example.shop": b"x"},
        {b"com.example.shop": {}},
        {b"com.example.shop": SIGNATURE | {b"more": 1}},
        {b"com.example.shop": SIGNATURE | {b"info": b"x"}},
        {b"com.example.shop": SIGNATURE | {b"certificate": 1}},
        {b"com.example.shop": SIGNATURE | {b"signature": []}},
        {b"": SIGNATURE},
        {b"Com Example": SIGNATURE},
        {b"\xff": SIGNATURE},
        {b"n" * 65: SIGNATURE},
        {b"com.example.%d" % number: SIGNATURE for number in range(9)},
    ],
)
def test_misshapen_signatures_are_refused(signatures: object) -> None:
    draft = Draft()
    draft.torrent[b"signatures"] = signatures
    refuses(draft, "signatures")
