"""Licensing's API as the seeder uses it, in memory, behind the real `LicensingClient`."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import trio

from client_lib.errors import UnreachableError
from client_lib.transport.http import HttpAnswer
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.certificates import SeederIdentity, certificate_pem, issue, public_key_from_csr
from client_lib.wire.licensing_api import (
    CatalogueEntry,
    CataloguePage,
    CertificateAnswer,
    CertificateRequest,
    Publication,
)
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.problem import Problem, ProblemType, encode_problem
from client_lib.wire.release import split_torrent_name
from tests.pki import SwarmPki, utc_now

URL = "https://licensing.test"
PAGE = 2


@dataclass
class FakeLicensing:
    pki: SwarmPki = field(default_factory=SwarmPki)
    entries: list[CatalogueEntry] = field(default_factory=list)
    torrents: dict[str, bytes] = field(default_factory=dict)
    away: bool = False
    before_publish: Callable[[], None] = lambda: None
    certificates_issued: int = 0

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[LicensingClient]:
        await trio.lowlevel.checkpoint()
        yield LicensingClient(self, URL)

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        *,
        max_bytes: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        """`client_lib.transport.http.Http`, answered here."""
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnreachableError(service, "connection refused")
        answer = self._answer(method, path, body or b"")
        assert len(answer.body) <= max_bytes
        return answer

    def _answer(self, method: str, path: str, body: bytes) -> HttpAnswer:
        path, _, query = path.partition("?")
        parts = path.strip("/").split("/")
        match method, parts:
            case "GET", ["v1", "ca"]:
                return HttpAnswer(200, {}, self.pki.ca_pem.encode())
            case "GET", ["v1", "releases"]:
                return self._feed(int(query.removeprefix("since=")))
            case "GET", ["v1", "releases", release_id, audio_format, "torrent"]:
                torrent = self.torrents.get(f"{release_id}.{audio_format}")
                if torrent is None:
                    return _problem(ProblemType.UNKNOWN_RELEASE, 404)
                return HttpAnswer(200, {}, torrent)
            case "PUT", ["v1", "releases", release_id, audio_format]:
                self.before_publish()
                publication = msgspec.json.decode(body, type=Publication)
                return self.register(f"{release_id}.{audio_format}", publication)
            case "POST", ["v1", "hosts", "certificate"]:
                return self._certificate(body)
        return _problem(ProblemType.NOT_FOUND, 404)

    def _feed(self, since: int) -> HttpAnswer:
        page = tuple(entry for entry in self.entries if entry.sequence > since)[:PAGE]
        next_since = page[-1].sequence if page else since
        return _json(200, CataloguePage(page, next_since))

    def register(self, name: str, publication: Publication) -> HttpAnswer:
        torrent = Metainfo.from_bytes(publication.torrent)
        known = {entry.name: entry for entry in self.entries}.get(torrent.name)
        if known is not None:
            same = known.info_hash == torrent.info_hash.hex
            conflict = _problem(ProblemType.RELEASE_CONFLICT, 409)
            return _json(200, known) if same else conflict
        assert torrent.name == name
        release_id, audio_format = split_torrent_name(torrent.name)
        entry = CatalogueEntry(
            sequence=3 * (len(self.entries) + 1),  # sequences may have gaps
            release_id=release_id,
            format=audio_format,
            name=torrent.name,
            info_hash=torrent.info_hash.hex,
            size_bytes=torrent.size_bytes,
            album=publication.album,
            published_at=utc_now(),
        )
        self.entries.append(entry)
        self.torrents[torrent.name] = publication.torrent
        return _json(201, entry)

    def _certificate(self, body: bytes) -> HttpAnswer:
        csr = msgspec.json.decode(body, type=CertificateRequest).csr
        self.certificates_issued += 1
        leaf = issue(
            SeederIdentity("seeder-1"),
            public_key_from_csr(csr),
            ca=self.pki.ca,
            ca_key=self.pki.ca_key,
            serial=self.certificates_issued,
            now=utc_now(),
        )
        answer = CertificateAnswer(
            certificate_pem(leaf),
            self.pki.ca_pem,
            leaf.not_valid_before_utc,
            leaf.not_valid_after_utc,
        )
        return _json(201, answer)


def _json(status: int, value: object) -> HttpAnswer:
    return HttpAnswer(status, {}, msgspec.json.encode(value))


def _problem(type_: ProblemType, status: int) -> HttpAnswer:
    body = encode_problem(Problem(type=type_, title="Refused", status=status, detail=type_.name))
    return HttpAnswer(status, {}, body)
