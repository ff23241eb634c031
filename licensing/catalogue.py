"""The catalogue: what publishers hand in, what seeders are to hold."""

import datetime as dt
from collections import OrderedDict

import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from client_lib.errors import CertificateError, MetainfoError
from client_lib.wire import certificates
from client_lib.wire.licensing_api import MAX_TORRENT_BYTES, CataloguePage, Publication
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import TorrentName
from licensing.ledger import Ledger, Published, Release
from licensing.refusal import Refusal

PAGE_LENGTH = 500
_CACHED_BYTES = 64 << 20


class Catalogue:
    """Publishing and reading releases. `ca` is the one under which swarms are sealed."""

    def __init__(self, ledger: Ledger, ca: x509.Certificate) -> None:
        """Start with an empty cache of parsed torrents."""
        self._ledger = ledger
        self._ca_der = ca.public_bytes(serialization.Encoding.DER)
        self._parsed: OrderedDict[TorrentName, Metainfo] = OrderedDict()

    async def publish(
        self, name: TorrentName, publication: Publication, *, now: dt.datetime
    ) -> Published:
        """Check a torrent and put it into the catalogue. Raises Refusal torrent-refused."""
        # In a thread: hashing the piece layers of a large torrent takes half a second.
        release = await trio.to_thread.run_sync(self._checked, name, publication)
        return await self._ledger.publish(release, now=now)

    def _checked(self, name: TorrentName, publication: Publication) -> Release:
        if len(publication.torrent) > MAX_TORRENT_BYTES:
            raise _refused(f"it is larger than {MAX_TORRENT_BYTES} bytes")
        try:
            torrent = Metainfo.from_bytes(publication.torrent)
            ca = certificates.load_certificate(torrent.ssl_cert)
        except (MetainfoError, CertificateError) as error:
            raise _refused(str(error)) from error
        if torrent.name != name:
            raise _refused(f"its name is {torrent.name}, but it is published as {name}")
        if ca.public_bytes(serialization.Encoding.DER) != self._ca_der:
            raise _refused("its ssl-cert is not this network's swarm CA")
        if torrent.announce_tiers or torrent.web_seeds or torrent.signatures:
            raise _refused(
                "it has announce URLs, web seeds or signatures; licensing adds them per customer"
            )
        paths = {"/".join(file.path) for file in torrent.files}
        for track in publication.album.tracks:
            if track.path not in paths:
                raise _refused(f"the album lists track {track.path!r}, which is not in it")
        return Release(
            name,
            torrent.info_hash,
            torrent.size_bytes,
            publication.album,
            publication.torrent,
            publication.rights,
        )

    async def page(self, since: int) -> CataloguePage:
        """Up to 500 entries after `since`."""
        entries = await self._ledger.releases(since, PAGE_LENGTH)
        return CataloguePage(entries, entries[-1].sequence if entries else since)

    async def torrent(self, name: TorrentName) -> bytes:
        """The torrent as published. Refuses unknown-release."""
        return await self._ledger.torrent(name)

    async def metainfo(self, name: TorrentName) -> Metainfo:
        """The same, parsed; recently used ones are kept, since a release never changes."""
        if name in self._parsed:
            self._parsed.move_to_end(name)
            return self._parsed[name]
        data = await self._ledger.torrent(name)
        parsed = await trio.to_thread.run_sync(Metainfo.from_bytes, data)
        self._parsed[name] = parsed
        while len(self._parsed) > 1 and self._cached_bytes() > _CACHED_BYTES:
            self._parsed.popitem(last=False)
        return parsed

    def _cached_bytes(self) -> int:
        return sum(len(kept.info) + len(kept.piece_layers) for kept in self._parsed.values())


def _refused(why: str) -> Refusal:
    return Refusal(ProblemType.TORRENT_REFUSED, f"the torrent is refused: {why}")
