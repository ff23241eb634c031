"""Licensing as one device meets it, over real HTTPS, with an album that a real seeder has."""

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio
from cryptography import x509

from client_lib.download import Client, ClientSettings, SessionSettings, open_client
from client_lib.protection import Protection
from client_lib.wire import certificates
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
from tests.integration.client.rig import HOST, NAME, Album, Seed
from tests.pki import SwarmPki, utc_now
from tests.unit.client_lib.download.licences import licence
from tests.unit.client_lib.transport.https_server import Request, http, https_server

STORE = "com.example.shop"


@dataclass
class Shop:
    """What licensing says. Tests bend it."""

    album: Album
    away: bool = False
    revoked: set[LicenceId] = field(default_factory=set)
    torrents: dict[LicenceId, bytes] = field(default_factory=dict)
    signing_pki: SwarmPki | None = None
    records: list[LicenceRecord] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    web_seeds: tuple[str, ...] = ()

    def sell(self, number: int = 1) -> LicenceRecord:
        """One more licence of the album, with its signed torrent."""
        info_hash = self.album.info_hash.hex
        record = licence(NAME, number=number, info_hash=info_hash, title=f"Ålbum {number}")
        self.records.append(record)
        self.torrents[record.licence_id] = self.torrent_for(record.licence_id)
        return record

    def torrent_for(self, licence_id: LicenceId, pki: SwarmPki | None = None) -> bytes:
        """A customer's torrent; the tracker it names does not answer."""
        pki = pki or self.album.pki
        signer = pki.issue(SignerIdentity(1, STORE))
        url = f"https://localhost:1/announce/{licence_id}"
        what = Stamp(licence_id, NAME, ((url,),), utc_now(), self.web_seeds)
        return stamp(
            self.album.metainfo, what, store=STORE, certificate=signer.certificate, key=signer.key
        )

    def answer(self, request: Request) -> bytes:
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

    def _certificate(self, licence_id: LicenceId, body: bytes) -> bytes:
        csr = msgspec.json.decode(body, type=CertificateRequest).csr
        leaf = certificates.issue(
            LicenceIdentity(licence_id, NAME, self.album.info_hash),
            certificates.public_key_from_csr(csr),
            ca=self.album.pki.ca,
            ca_key=self.album.pki.ca_key,
            serial=x509.random_serial_number(),
            now=utc_now(),
        )
        return msgspec.json.encode(
            CertificateAnswer(
                certificates.certificate_pem(leaf),
                self.album.pki.ca_pem,
                leaf.not_valid_before_utc,
                leaf.not_valid_after_utc,
            )
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


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
    port = free_port()
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
