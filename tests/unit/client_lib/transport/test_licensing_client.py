"""The licensing client against a real HTTPS server that behaves well, badly, or not at all."""

import datetime as dt
import gzip
import json
import socket
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import trio

from client_lib.errors import (
    AlbumswarmError,
    LicensingRefused,
    StorageError,
    UnreachableError,
    UsageError,
)
from client_lib.transport.licensing_client import (
    ConditionalAnswer,
    LicensingClient,
    open_licensing,
)
from client_lib.wire.licence import licence_id_from
from client_lib.wire.licensing_api import (
    Balance,
    BalanceAnswer,
    CataloguePage,
    CertificateAnswer,
    Library,
    LicenceRecord,
    LicenceState,
    Publication,
    PurchaseAnswer,
    PurchaseRequest,
    RedemptionAnswer,
    ReleaseQuote,
    RevocationAnswer,
)
from client_lib.wire.problem import Problem, ProblemType, encode_problem
from client_lib.wire.release import Album, AudioFormat, ReleaseId, TorrentName
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki
from tests.unit.client_lib.transport.https_server import Answer, Request, http, https_server

PKI = SwarmPki()
BEARER = "s3cr3t-device-bearer"
LICENCE_ID = licence_id_from(bytes(16))
LIBRARY = Library(
    licences=(
        LicenceRecord(
            licence_id=LICENCE_ID,
            release_id=ReleaseId("rel-1"),
            format=AudioFormat("flac"),
            name=TorrentName("rel-1.flac"),
            info_hash="0" * 64,
            size_bytes=1,
            album=Album(artist="Ä", title="B"),
            state=LicenceState.ACTIVE,
            granted_at=dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
        ),
    )
)
REDEEMED = RedemptionAnswer((), (Balance("shop", "c-1", "EUR", 1000),))
ORDER = PurchaseRequest(ReleaseId("rel-1"), AudioFormat("mp3-320"), "EUR")
Call = Callable[[LicensingClient], Awaitable[object]]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")


async def ask(answer: Answer, folder: Path, call: Call) -> tuple[object, list[Request]]:
    with trio.fail_after(PATIENCE_S):
        async with (
            https_server(PKI, folder, answer) as server,
            open_licensing(server.url, ca_pem=PKI.ca_pem, bearer=BEARER) as licensing,
        ):
            return await call(licensing), server.requests


async def failure(
    answer: Answer, folder: Path, call: Call
) -> tuple[AlbumswarmError, list[Request]]:
    """The error of a call, which must be ours and must not show the bearer."""
    with trio.fail_after(PATIENCE_S):
        async with (
            https_server(PKI, folder, answer) as server,
            open_licensing(server.url, ca_pem=PKI.ca_pem, bearer=BEARER) as licensing,
        ):
            with pytest.raises(AlbumswarmError) as raised:
                await call(licensing)
    assert BEARER not in "".join(traceback.format_exception(raised.value))
    return raised.value, server.requests


def library(licensing: LicensingClient) -> Awaitable[Library]:
    return licensing.library()


async def test_device_asks_for_its_library_with_its_secret(tmp_path: Path) -> None:
    body = msgspec.json.encode(LIBRARY)
    result, (request,) = await ask(lambda _: http(200, body), tmp_path, library)
    assert result == LIBRARY
    assert (request.method, request.path) == ("GET", "/v1/licences")
    assert request.headers["authorization"] == f"Bearer {BEARER}"


async def test_lost_response_of_a_purchase_is_asked_for_again_with_its_key(
    tmp_path: Path,
) -> None:
    bought = PurchaseAnswer(LIBRARY.licences[0], "credit-1", False, 5, 6, "EUR")
    answers = [None, http(201, msgspec.json.encode(bought))]
    result, requests = await ask(
        lambda _: answers.pop(0), tmp_path, lambda c: c.buy(ORDER, idempotency_key="k-1")
    )
    assert result == bought
    assert [request.headers["idempotency-key"] for request in requests] == ['"k-1"'] * 2


async def test_balances_are_read(tmp_path: Path) -> None:
    body = msgspec.json.encode(BalanceAnswer(REDEEMED.balances))
    result, (request,) = await ask(lambda _: http(200, body), tmp_path, lambda c: c.balances())
    assert result == REDEEMED.balances
    assert (request.method, request.path) == ("GET", "/v1/balance")


CALLS: dict[str, tuple[Call, object, str, dict[str, object]]] = {
    "redeem": (
        lambda c: c.redeem("a.b.c"),
        REDEEMED,
        "POST /v1/redemptions",
        {"payment_token": "a.b.c"},
    ),
    "quote": (
        lambda c: c.quote(ReleaseId("rel-1")),
        ReleaseQuote(ReleaseId("rel-1"), ()),
        "GET /v1/releases/rel-1",
        {},
    ),
    "buy": (
        lambda c: c.buy(ORDER, idempotency_key="k-1"),
        PurchaseAnswer(LIBRARY.licences[0], "credit-1", False, 5, 6, "EUR"),
        "POST /v1/purchases",
        {"release_id": "rel-1", "format": "mp3-320", "currency": "EUR"},
    ),
    "revoke": (
        lambda c: c.revoke("a.b.c"),
        RevocationAnswer("order-1", LicenceState.REVOKED, 1),
        "POST /v1/revocations",
        {"revocation_token": "a.b.c"},
    ),
    "licence certificate": (
        lambda c: c.licence_certificate(LICENCE_ID, "CSR"),
        CertificateAnswer("c", "ca", *[dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 2),
        f"POST /v1/licences/{LICENCE_ID}/certificate",
        {"csr": "CSR"},
    ),
    "host certificate": (
        lambda c: c.host_certificate("CSR"),
        CertificateAnswer("c", "ca", *[dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 2),
        "POST /v1/hosts/certificate",
        {"csr": "CSR"},
    ),
    "catalogue": (lambda c: c.catalogue(7), CataloguePage((), 7), "GET /v1/releases?since=7", {}),
}


@pytest.mark.parametrize(("call", "answer", "line", "body"), CALLS.values(), ids=CALLS)
async def test_calls_say_what_the_api_expects(
    tmp_path: Path, call: Call, answer: object, line: str, body: dict[str, object]
) -> None:
    response = http(201, msgspec.json.encode(answer))
    result, (request,) = await ask(lambda _: response, tmp_path, call)
    assert result == answer
    assert f"{request.method} {request.path}" == line
    assert json.loads(request.body or b"{}") == body


async def test_revocation_list_is_fetched_once_while_it_stays_the_same(tmp_path: Path) -> None:
    def answer(request: Request) -> bytes:
        if request.headers.get("if-none-match") == '"1"':
            return http(304, ETag='"1"')
        return http(200, b"DER", ETag='"1"')

    async def twice(licensing: LicensingClient) -> object:
        first = await licensing.revocation_list()
        assert first is not None
        return first, await licensing.revocation_list(first.etag)

    result, _ = await ask(answer, tmp_path, twice)
    assert result == (ConditionalAnswer(b"DER", '"1"'), None)


async def test_problem_document_is_a_refusal_with_its_type(tmp_path: Path) -> None:
    problem = Problem(ProblemType.TOKEN_ALREADY_REDEEMED, "No", 409, "redeemed elsewhere")
    answer = http(409, encode_problem(problem), Content_Type="application/problem+json")
    error, requests = await failure(lambda _: answer, tmp_path, lambda c: c.redeem("a.b.c"))
    assert isinstance(error, LicensingRefused)
    assert error.problem_type == ProblemType.TOKEN_ALREADY_REDEEMED
    assert (error.status, str(error)) == (409, "redeemed elsewhere")
    assert len(requests) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>Forbidden</html>", b'{"type": 1}', b"\xff", b"[" * 99_999]
)
async def test_refusal_without_problem_document_keeps_its_status(
    tmp_path: Path, body: bytes
) -> None:
    error, _ = await failure(lambda _: http(403, body), tmp_path, library)
    assert isinstance(error, LicensingRefused)
    assert (error.status, error.problem_type) == (403, "about:blank")
    assert str(error) == "HTTP error 403"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_service_that_cannot_now_has_refused_nobody(tmp_path: Path, status: int) -> None:
    """A proxy's 502 during a restart must not end a download as if the licence were revoked."""
    problem = encode_problem(Problem(ProblemType.NOT_READY, "Not ready", 503, "restarting"))
    error, _ = await failure(lambda _: http(status, problem), tmp_path, library)
    assert isinstance(error, UnreachableError)
    assert str(error).endswith(f": restarting (HTTP {status})")


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html>Welcome to the hotel's network</html>"),
        http(200, b"{}"),
        http(200, b'{"licences": [{"licence_id": "short"}]}'),
        http(200, b"\xff\xfe"),
        http(200, b'{"licences": [], "more": ' + b"[" * 100_000),
        http(204),
        http(302, Location="https://elsewhere.example/"),
        http(304),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
    ids=["html", "empty", "wrong", "not text", "deep", "no content", "redirect", "304", "bad gzip"],
)
async def test_answer_that_is_no_licensing_service_is_unreachable(
    tmp_path: Path, answer: bytes
) -> None:
    error, _ = await failure(lambda _: answer, tmp_path, library)
    assert isinstance(error, UnreachableError)
    assert error.exit_code == 4


async def test_redirect_is_not_a_torrent(tmp_path: Path) -> None:
    answer = http(301, b"moved", Location="https://elsewhere.example/")
    error, _ = await failure(lambda _: answer, tmp_path, lambda c: c.licence_torrent(LICENCE_ID))
    assert isinstance(error, UnreachableError)


async def test_oversized_answer_is_not_read_to_its_end(tmp_path: Path) -> None:
    answer = http(200, bytes((16 << 20) + 1))
    error, _ = await failure(lambda _: answer, tmp_path, lambda c: c.licence_torrent(LICENCE_ID))
    assert isinstance(error, UnreachableError)
    assert "larger than 16777216 bytes" in str(error)


async def test_compressed_answer_is_not_unpacked(tmp_path: Path) -> None:
    body = gzip.compress(bytes(20 << 20))
    answer = http(200, body, Content_Encoding="gzip")
    error, _ = await failure(lambda _: answer, tmp_path, lambda c: c.licence_torrent(LICENCE_ID))
    assert "compressed, and nobody asked for that" in str(error)


async def test_lost_response_is_asked_for_again(tmp_path: Path) -> None:
    answers = [None, http(200, msgspec.json.encode(REDEEMED))]
    result, requests = await ask(lambda _: answers.pop(0), tmp_path, lambda c: c.redeem("a.b.c"))
    assert result == REDEEMED
    assert [request.body for request in requests] == [b'{"payment_token":"a.b.c"}'] * 2


async def test_service_that_always_drops_the_connection_is_unreachable(tmp_path: Path) -> None:
    answers = [None, b"SSH-2.0-OpenSSH\r\n\r\n", None]
    error, requests = await failure(lambda _: answers.pop(0), tmp_path, library)
    assert isinstance(error, UnreachableError)
    assert len(requests) == 3


async def test_service_under_another_ca_is_not_spoken_to(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            https_server(SwarmPki(), tmp_path, lambda _: http(200)) as server,
            open_licensing(server.url, ca_pem=PKI.ca_pem, bearer=BEARER) as licensing,
        ):
            with pytest.raises(UnreachableError, match="certificate verify failed") as refused:
                await licensing.library()
            assert server.requests == []
            assert refused.value.url == server.url


async def test_service_under_another_name_is_not_spoken_to(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            https_server(
                PKI, tmp_path, lambda _: http(200), host="licensing.shop.example"
            ) as server,
            open_licensing(server.url, ca_pem=PKI.ca_pem, bearer=BEARER) as licensing,
        ):
            with pytest.raises(UnreachableError, match=r"not valid for 'localhost'|mismatch"):
                await licensing.library()
            assert server.requests == []


async def test_nobody_there_is_told_with_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        url = f"https://localhost:{taken.getsockname()[1]}"
        async with open_licensing(url, ca_pem=PKI.ca_pem) as licensing:
            with pytest.raises(UnreachableError, match=f"^{url}: .*[Cc]onnection refused"):
                await licensing.library()
    async with open_licensing("https://nowhere.invalid", ca_pem=PKI.ca_pem) as licensing:
        with pytest.raises(UnreachableError, match=r"^https://nowhere\.invalid: [A-Z]\w+"):
            await licensing.library()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8443",
        "http://localhost",
        "https://",
        "https://[::1",
        "https://localhost:99999",
        "https://localhost:x",
        "https://local host",
        "https://shop\n.example",
        "https://localhost/?query",
    ],
)
async def test_address_that_is_none_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="is not a service's address"):
        async with open_licensing(url):
            raise AssertionError("opened")


@pytest.mark.parametrize("bearer", ["", "two words", "line\nbreak", "schlüssel", "nul\0"])
async def test_bearer_that_cannot_be_sent_is_refused_without_showing_it(bearer: str) -> None:
    with pytest.raises(UsageError) as refused:
        async with open_licensing("https://localhost", ca_pem=PKI.ca_pem, bearer=bearer):
            raise AssertionError("opened")
    assert not bearer or bearer not in "".join(traceback.format_exception_only(refused.value))


@pytest.mark.parametrize("ca_pem", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx"])
async def test_ca_that_is_none_never_means_the_systems_roots(ca_pem: str) -> None:
    with pytest.raises(StorageError, match="no PEM certificate"):
        async with open_licensing("https://localhost", ca_pem=ca_pem):
            raise AssertionError("opened")


async def test_publication_goes_to_its_release(tmp_path: Path) -> None:
    publication = Publication(Album(artist="A", title="B"), b"torrent")
    problem = encode_problem(Problem(ProblemType.RELEASE_CONFLICT, "No", 409, "other content"))
    release, audio_format = ReleaseId("rel-1"), AudioFormat("flac")
    error, (request,) = await failure(
        lambda _: http(409, problem),
        tmp_path,
        lambda c: c.publish(release, audio_format, publication),
    )
    assert str(error) == "other content"
    assert (request.method, request.path) == ("PUT", "/v1/releases/rel-1/flac")
    assert msgspec.json.decode(request.body, type=Publication) == publication
