"""Licensing's HTTP API, typed: what devices, seeders and trackers ask it.

Every call may be repeated: licensing answers a lost response's repetition the same way.
"""

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import trio

from client_lib.errors import AnswerLost, LicensingRefused, UnreachableError, UsageError
from client_lib.transport.address import ServiceAddress
from client_lib.transport.http import Http, HttpAnswer, open_http
from client_lib.transport.tls import client_context, system_context
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import (
    MAX_TORRENT_BYTES,
    Balance,
    BalanceAnswer,
    CatalogueEntry,
    CataloguePage,
    CertificateAnswer,
    CertificateRequest,
    HostCertificateRequest,
    Library,
    Publication,
    PurchaseAnswer,
    PurchaseRequest,
    RedemptionAnswer,
    RedemptionRequest,
    ReleaseQuote,
    RevocationAnswer,
    RevocationRequest,
)
from client_lib.wire.not_json import NOT_JSON
from client_lib.wire.problem import decode_problem
from client_lib.wire.release import AudioFormat, ReleaseId

R = TypeVar("R")
_MAX_ANSWER_BYTES = 64 << 20
_OK, _NOT_MODIFIED = range(200, 300), 304
_LOST_RESPONSE_ATTEMPTS = 3
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1: b64token
# Nobody said no: an outage or a proxy before a service that is restarting (RFC 9110, section 15).
_AWAY = frozenset({429, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class ConditionalAnswer:
    """A body with its entity tag, for the next conditional GET (RFC 9110, section 13)."""

    body: bytes
    etag: str


class LicensingClient:
    """One connection pool to one licensing service. Make it with `open_licensing`.

    Calls raise LicensingRefused for a problem document and UnreachableError when nobody (or
    nobody whom we trust) answers, or a service that cannot now (HTTP 5xx, 429).
    """

    def __init__(self, http: Http, url: str) -> None:
        """Use `open_licensing` instead: it closes the pool."""
        self._http = http
        self.url = url

    async def redeem(self, payment_token: str) -> RedemptionAnswer:
        """Turn a payment token into licences of this device, or prepaid credit."""
        request = RedemptionRequest(payment_token=payment_token)
        return await self._post("/v1/redemptions", request, RedemptionAnswer)

    async def balances(self) -> tuple[Balance, ...]:
        """Prepaid credit that this device may spend."""
        answer = await self._call("GET", "/v1/balance")
        return _decoded(answer, BalanceAnswer, self.url).balances

    async def quote(self, release_id: ReleaseId) -> ReleaseQuote:
        """Every format of a release, with its size and its prices in prepaid credit."""
        return _decoded(
            await self._call("GET", f"/v1/releases/{release_id}"), ReleaseQuote, self.url
        )

    async def buy(self, request: PurchaseRequest, *, idempotency_key: str) -> PurchaseAnswer:
        """Buy a release with prepaid credit.

        `idempotency_key`, 1 to 64 visible ASCII characters, is new for each purchase; with the
        same one the same purchase may be repeated, and is paid once.
        """
        headers = {"Idempotency-Key": f'"{idempotency_key}"'}  # a structured-field string
        body = msgspec.json.encode(request)
        answer = await self._call("POST", "/v1/purchases", body=body, headers=headers)
        return _decoded(answer, PurchaseAnswer, self.url)

    async def revoke(self, revocation_token: str) -> RevocationAnswer:
        """Hand in a store's revocation token: a refund, a chargeback, or the end of one."""
        request = RevocationRequest(revocation_token=revocation_token)
        return await self._post("/v1/revocations", request, RevocationAnswer)

    async def library(self) -> Library:
        """All licences of this device."""
        return _decoded(await self._call("GET", "/v1/licences"), Library, self.url)

    async def licence_certificate(self, licence_id: LicenceId, csr: str) -> CertificateAnswer:
        """Get a licence certificate for the key of `csr` (PEM)."""
        path = f"/v1/licences/{licence_id}/certificate"
        return await self._post(path, CertificateRequest(csr=csr), CertificateAnswer)

    async def licence_torrent(self, licence_id: LicenceId) -> bytes:
        """Get the per-customer torrent. Not verified yet: see `wire.signature`."""
        path = f"/v1/licences/{licence_id}/torrent"
        return (await self._call("GET", path, max_bytes=MAX_TORRENT_BYTES)).body

    async def swarm_ca(self) -> str:
        """Get the swarm CA, PEM. Trust it as far as the TLS connection was trusted."""
        answer = await self._call("GET", "/v1/ca", max_bytes=1 << 20)
        return answer.body.decode(errors="replace")

    async def revocation_list(self, etag: str | None = None) -> ConditionalAnswer | None:
        """Get the CRL (DER), or None if it is still the one with `etag`."""
        headers = {"If-None-Match": etag} if etag else {}
        answer = await self._call("GET", "/v1/crl", headers=headers)
        if answer.status == _NOT_MODIFIED:
            return None
        return ConditionalAnswer(answer.body, answer.headers.get("etag", ""))

    async def publish(
        self, release_id: ReleaseId, audio_format: AudioFormat, publication: Publication
    ) -> CatalogueEntry:
        """Register a release (API key: publisher). Identical content again is a no-op."""
        path = f"/v1/releases/{release_id}/{audio_format}"
        answer = await self._call("PUT", path, body=msgspec.json.encode(publication))
        return _decoded(answer, CatalogueEntry, self.url)

    async def catalogue(self, since: int) -> CataloguePage:
        """Get published releases with a sequence above `since` (API key: seeder)."""
        return _decoded(
            await self._call("GET", f"/v1/releases?since={since}"), CataloguePage, self.url
        )

    async def release_torrent(self, release_id: ReleaseId, audio_format: AudioFormat) -> bytes:
        """Get a release's torrent as published (API key: seeder)."""
        path = f"/v1/releases/{release_id}/{audio_format}/torrent"
        return (await self._call("GET", path, max_bytes=MAX_TORRENT_BYTES)).body

    async def host_certificate(self, csr: str) -> CertificateAnswer:
        """Get the certificate that our API key stands for: a seeder's or a tracker's."""
        request = HostCertificateRequest(csr=csr)
        return await self._post("/v1/hosts/certificate", request, CertificateAnswer)

    async def web_seed_certificate(self, csr: str) -> CertificateAnswer:
        """Get the host certificate of a seeder's web seed, for the API key's host names."""
        request = HostCertificateRequest(csr=csr, web_seed=True)
        return await self._post("/v1/hosts/certificate", request, CertificateAnswer)

    async def _post(self, path: str, request: msgspec.Struct, type_: type[R]) -> R:
        answer = await self._call("POST", path, body=msgspec.json.encode(request))
        return _decoded(answer, type_, self.url)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        max_bytes: int = _MAX_ANSWER_BYTES,
    ) -> HttpAnswer:
        all_headers = {"Accept": "application/json, */*;q=0.5", **(headers or {})}
        if body is not None:
            all_headers["Content-Type"] = "application/json"
        answer = await self._ask_patiently(method, path, body, all_headers, max_bytes)
        if answer.status >= 400:
            problem = decode_problem(answer.body, answer.status)
            detail = problem.detail or f"{problem.title} {answer.status}"
            if answer.status in _AWAY:
                raise UnreachableError(self.url, f"{detail} (HTTP {answer.status})")
            raise LicensingRefused(problem.type, answer.status, detail)
        if answer.status not in _OK and answer.status != _NOT_MODIFIED:
            raise UnreachableError(self.url, f"not licensing: HTTP {answer.status}")
        return answer

    async def _ask_patiently(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], max_bytes: int
    ) -> HttpAnswer:
        """Ask, and again when a connection broke after it stood: its answer may be lost."""
        attempt = 1
        while True:
            try:
                return await self._http.ask(
                    self.url, method, path, body=body, headers=headers, max_bytes=max_bytes
                )
            except AnswerLost:
                if attempt == _LOST_RESPONSE_ATTEMPTS:
                    raise
            await trio.sleep(0.1 * 4**attempt)
            attempt += 1


@contextlib.asynccontextmanager
async def open_licensing(
    url: str, *, ca_pem: str | None = None, bearer: str | None = None
) -> AsyncIterator[LicensingClient]:
    """Open a client of the licensing service at `url` (`https://host:port`).

    `ca_pem` replaces the system's roots; `bearer` is a device secret or an API key. Raises
    UsageError for a URL that is none, StorageError for a CA that is none.
    """
    ServiceAddress.from_url(url)
    if bearer is not None and not _BEARER.fullmatch(bearer):
        # Said here: deeper down the text of the error would hold the secret.
        raise UsageError("the device secret or API key holds characters that none has")
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    context = client_context(ca_pem) if ca_pem is not None else system_context()
    async with open_http(context, headers=headers, proxies=ca_pem is None) as http:
        yield LicensingClient(http, url)


def _decoded(answer: HttpAnswer, type_: type[R], url: str) -> R:
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except NOT_JSON as error:
        raise UnreachableError(url, f"not a licensing service's answer: {error}") from error
