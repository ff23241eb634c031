"""Torrents made from album contents without the code under test, except its bencoding."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from client_lib.wire import bencode
from tests.pki import SwarmPki

BLOCK = 16 << 10
NAME = "rel-0001.flac-24-96"


@cache
def swarm() -> SwarmPki:
    return SwarmPki()


def _root(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [
            hashlib.sha256(left + right).digest()
            for left, right in zip(hashes[::2], hashes[1::2], strict=True)
        ]
    return hashes[0]


def hash_tree(content: bytes, piece_length: int) -> tuple[bytes, bytes]:
    """Pieces root and piece layer by the book (BEP 52): the whole tree of leaves, padded."""
    leaves = [
        hashlib.sha256(content[start : start + BLOCK]).digest()
        for start in range(0, len(content), BLOCK)
    ]
    pieces = -(-len(content) // piece_length)
    width = BLOCK
    while width < len(content):
        width *= 2
    leaves += [bytes(32)] * (width // BLOCK - len(leaves))
    per_piece = piece_length // BLOCK
    layer = [_root(leaves[i * per_piece :][:per_piece]) for i in range(pieces)]
    return _root(leaves), b"".join(layer)


@dataclass
class Draft:
    """A torrent as plain dictionaries, to be bent before it is encoded."""

    files: Mapping[str, bytes] = field(
        default_factory=lambda: {
            "01 Überraschung.flac": b"\x01" * 70_000,
            "Disc 2/01 日本.flac": b"\x02" * 100_000,
            "Disc 2/exact piece.flac": b"\x03" * 32_768,
            "empty.txt": b"",
        }
    )
    piece_length: int = 32 << 10
    ssl_cert: str = field(default_factory=lambda: swarm().ca_pem)
    info: dict[bytes, Any] = field(init=False)
    tree: dict[bytes, Any] = field(init=False, default_factory=dict)
    layers: dict[bytes, Any] = field(init=False, default_factory=dict)
    torrent: dict[bytes, Any] = field(init=False)

    def __post_init__(self) -> None:
        for path, content in self.files.items():
            self.add(path, content)
        self.info = {
            b"file tree": self.tree,
            b"meta version": 2,
            b"name": NAME.encode(),
            b"piece length": self.piece_length,
            b"private": 1,
            b"ssl-cert": self.ssl_cert.encode(),
        }
        self.torrent = {b"info": self.info, b"piece layers": self.layers}

    def add(self, path: str, content: bytes) -> None:
        root, layer = hash_tree(content, self.piece_length) if content else (b"", b"")
        if len(content) > self.piece_length:
            self.layers[root] = layer
        leaf: dict[bytes, Any] = {b"length": len(content)}
        if content:
            leaf[b"pieces root"] = root
        folder = self.tree
        *folders, name = path.encode().split(b"/")
        for part in folders:
            folder = folder.setdefault(part, {})
        folder[name] = {b"": leaf}

    def encode(self) -> bytes:
        return bencode.encode(self.torrent)
