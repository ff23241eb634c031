"""Licensing as one device meets it, over real HTTPS, with an album that a real seeder has."""

import contextlib
import datetime as dt
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio
from cryptography import x509
from ephemeral_port_reserve import reserve

from client_lib.download import Client, ClientSettings, SessionSettings, open_client
from client_lib.protection import Protection
from client_lib.wire import bencode, certificates
from client_lib.wire.certificates import LicenceIdentity, SignerIdentity
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import (
    CertificateAnswer,
    CertificateRequest,
    Library,
    LicenceRecord,
)
from client_lib.wire.problem import Problem, ProblemType, encode_problem
from client_lib.wire.signature import Stamp, stamp
from tests.integration.client.rig import HOST, Album, Seed
from tests.pki import SwarmPki, utc_now
from tests.unit.client_lib.download.licences import licence
from tests.unit.client_lib.transport.https_server import Request, http, https_server

STORE = "com.example.shop"


@dataclass
class Shop:
    """What licensing says. Tests bend it."""

    album: Album
    away: bool = False
    tracker_away: bool = False
    revoked: set[LicenceId] = field(default_factory=set)
    torrents: dict[LicenceId, bytes] = field(default_factory=dict)
    signing_pki: SwarmPki | None = None
    records: list[LicenceRecord] = field(default_factory=list)
    albums: dict[LicenceId, Album] = field(default_factory=dict)
    lifetime: dt.timedelta | None = None
    clock_ahead: dt.timedelta = dt.timedelta(0)
    """By how much customers are ahead of licensing."""
    tracker_url: str = "https://localhost:1"  # nobody is there
    peers: tuple[tuple[str, int], ...] = ()
    announced: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    web_seeds: tuple[str, ...] = ()

    def sell(
        self, number: int = 1, *, album: Album | None = None, title: str | None = None
    ) -> LicenceRecord:
        """One more licence of the album (or another one), with its signed torrent."""
        album = album or self.album
        record = msgspec.structs.replace(
            licence(
                album.name,
                number=number,
                info_hash=album.info_hash.hex,
                title=title or f"Ålbum {number}",
            ),
            size_bytes=sum(album.sizes.values()),
        )
        self.records.append(record)
        self.albums[record.licence_id] = album
        self.torrents[record.licence_id] = self.torrent_for(record.licence_id)
        return record

    def torrent_for(self, licence_id: LicenceId, pki: SwarmPki | None = None) -> bytes:
        """A customer's torrent."""
        album = self.albums.get(licence_id, self.album)
        pki = pki or self.album.pki
        signer = pki.issue(SignerIdentity(1, STORE))
        url = f"{self.tracker_url}/announce/{licence_id}"
        what = Stamp(licence_id, album.name, ((url,),), utc_now(), self.web_seeds)
        return stamp(
            album.metainfo, what, store=STORE, certificate=signer.certificate, key=signer.key
        )

    def answer(self, request: Request) -> bytes | None:
        if request.path.startswith("/announce/"):
            return None if self.tracker_away else self._announce(request.path)
        self.asked.append(f"{request.method} {request.path}")
        if self.away:
            return http(503, encode_problem(Problem(ProblemType.NOT_READY, "No", 503, "restart")))
        match request.path.strip("/").split("/"):
            case ["v1", "ca"]:
                return http(200, self.album.pki.ca_pem.encode())
            case ["v1", "licences"] | ["v1", "redemptions"]:
                return http(200, msgspec.json.encode(Library(tuple(self.records))))
            case ["v1", "licences", licence_id, what]:
                if licence_id in self.revoked:
                    no = Problem(ProblemType.LICENCE_REVOKED, "No", 403, "revoked")
                    return http(403, encode_problem(no))
                if what == "torrent":
                    return http(200, self.torrents[LicenceId(licence_id)])
                return http(201, self._certificate(LicenceId(licence_id), request.body))
        return http(404, encode_problem(Problem(ProblemType.NOT_FOUND, "No", 404)))

    def _announce(self, path: str) -> bytes:
        """What a tracker says: here are the peers, or that the licence is no good."""
        licence_id = LicenceId(path.split("?")[0].rpartition("/")[2])
        self.announced.append(licence_id)
        if licence_id in self.revoked:
            return http(200, bencode.encode({b"failure reason": b"licence revoked"}))
        peers = b"".join(socket.inet_aton(host) + port.to_bytes(2) for host, port in self.peers)
        return http(200, bencode.encode({b"interval": 60, b"peers": peers}))

    def _certificate(self, licence_id: LicenceId, body: bytes) -> bytes:
        csr = msgspec.json.decode(body, type=CertificateRequest).csr
        album = self.albums.get(licence_id, self.album)
        leaf = certificates.issue(
            LicenceIdentity(licence_id, album.name, album.info_hash),
            certificates.public_key_from_csr(csr),
            ca=self.album.pki.ca,
            ca_key=self.album.pki.ca_key,
            serial=x509.random_serial_number(),
            now=utc_now() - self.clock_ahead,
            lifetime=self.lifetime,
        )
        return msgspec.json.encode(
            CertificateAnswer(
                certificates.certificate_pem(leaf),
                self.album.pki.ca_pem,
                leaf.not_valid_before_utc,
                leaf.not_valid_after_utc,
            )
        )


@dataclass(frozen=True)
class Customer:
    client: Client
    port: int


@contextlib.asynccontextmanager
async def customer(
    shop: Shop, folder: Path, *, patience_s: float = 600.0, secrets: Protection | None = None
) -> AsyncIterator[Customer]:
    """A device of the shop; `folder` is kept from one time to the next."""
    folder.mkdir(exist_ok=True)
    port = reserve()
    async with https_server(shop.album.pki, folder, shop.answer) as server:
        settings = ClientSettings(
            data_folder=folder / "data",
            licensing_url=server.url,
            licensing_ca=shop.album.pki.ca_pem,
            session=SessionSettings(listen_port=port, listen_host=HOST),
            patience_s=patience_s,
            secrets=secrets,
        )
        async with open_client(settings) as client:
            yield Customer(client, port)


@contextlib.asynccontextmanager
async def called_by(seed: Seed, port: int) -> AsyncIterator[None]:
    """The seeder calls the customer, as it would on the tracker's word, until it answers."""

    async def call() -> None:
        while True:
            seed.torrent.connect(HOST, port)
            with trio.move_on_after(0.2):
                await seed.torrent.wait_change()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        yield
        nursery.cancel_scope.cancel()
