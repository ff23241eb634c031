"""Running the service: limits, patience, shutdown, readiness, metrics, and logs without secrets."""

import contextlib
import datetime as dt
import functools
import json
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from client_lib.errors import UsageError
from client_lib.transport.tls import client_context
from client_lib.wire import certificates
from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.licence import DeviceSecret
from client_lib.wire.problem import ProblemType
from licensing import app
from licensing.config import utc_now
from licensing.data_folder import DataFolder
from licensing.ledger import Role
from licensing.serving.exchange import Patience
from licensing.serving.front_end import FrontEnd
from tests.integration.licensing.running import (
    Running,
    found_folder,
    new_secret,
    problem,
    running,
)
from tests.patience import PATIENCE_S

HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHo"


async def limited_folder(tmp_path: Path, limits: str, **settings: object) -> DataFolder:
    folder = await found_folder(tmp_path / "licensing", **settings)
    with folder.config.open("a") as file:
        file.write(f"\n[limits]\n{limits}\n")
    return folder


@contextlib.asynccontextmanager
async def raw(service: Running) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    host, _, port = service.address.partition(":")
    stream = await trio.open_ssl_over_tcp_stream(
        host, int(port), ssl_context=client_context(service.ca_pem), https_compatible=True
    )
    with trio.fail_after(PATIENCE_S):
        try:
            yield stream
        finally:
            await trio.aclose_forcefully(stream)


async def answer_to(stream: trio.SSLStream[trio.SocketStream], request: bytes) -> bytes:
    await stream.send_all(request)
    return await until_closed_or_complete(stream)


async def until_closed_or_complete(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received or len(received) < _expected_length(received):
        try:
            chunk = await stream.receive_some()
        except trio.BrokenResourceError:
            return received
        if not chunk:
            return received
        received += chunk
    return received


def _expected_length(received: bytes) -> int:
    head, _, _ = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(head) + 4 + int(length or 0)


async def sold(service: Running, secret: DeviceSecret) -> str:
    """Sell the album to a device; its licence id."""
    await service.publish()
    async with service.client(secret) as client:
        (licence,) = (await client.redeem(service.token())).licences
        return licence.licence_id


async def test_addresses_devices_and_failures_are_limited(tmp_path: Path) -> None:
    limits = "address_per_s = 0.001\naddress_burst = 30\ndevice_per_s = 0.001\ndevice_burst = 5"
    folder = await limited_folder(tmp_path, limits)
    async with running(folder) as service, service.http(new_secret().bearer) as http:
        for _ in range(5):
            assert (await http.get("/v1/licences")).status_code == 200
        answer = await http.get("/v1/licences")
        assert problem(answer) is ProblemType.TOO_MANY_REQUESTS
        assert answer.json()["reason"] == "device"
        assert 900 < int(answer.headers["Retry-After"]) <= 1_000
        other = {"Authorization": f"Bearer {new_secret().bearer}"}
        assert (await http.get("/v1/licences", headers=other)).status_code == 200
        for _ in range(30):
            answer = await http.get("/v1/ca", headers={"Authorization": ""})
        assert answer.json()["reason"] == "address"
        assert (await http.get("/healthz")).status_code == 200


async def test_guessing_is_limited_harder_and_customers_are_not_punished_for_it(
    tmp_path: Path,
) -> None:
    folder = await limited_folder(tmp_path, "failures_per_s = 0.01\nfailures_burst = 4")
    customer = new_secret()
    async with running(folder) as service, service.http() as http:
        licence_id = await sold(service, customer)
        guess = {"Authorization": f"Bearer askey_{'x' * 43}"}
        for _ in range(4):
            assert (await http.get("/v1/releases", headers=guess)).status_code == 401
        answer = await http.get("/v1/releases", headers=guess)
        assert problem(answer) is ProblemType.TOO_MANY_REQUESTS
        assert answer.json()["reason"] == "failures"
        assert int(answer.headers["Retry-After"]) <= 100
        assert (await http.get("/v1/ca")).status_code == 429
        async with service.client(customer) as client:
            csr = certificates.make_csr(certificates.new_key())
            (licence,) = (await client.library()).licences
            assert licence.licence_id == licence_id
            await client.licence_certificate(licence.licence_id, csr)


async def test_certificates_are_limited_for_each_licence_and_device(tmp_path: Path) -> None:
    folder = await limited_folder(tmp_path, "certificates_per_day = 2")
    shift = [dt.timedelta(0)]
    first, second = new_secret(), new_secret()
    async with running(folder, clock=lambda: utc_now() + shift[0]) as service:
        await service.publish()
        body = {"csr": certificates.make_csr(certificates.new_key())}
        async with service.http() as http:
            licences = []
            for secret in (first, second):
                token = {"payment_token": service.token(purchase="p", life=dt.timedelta(days=3))}
                bought = await http.post("/v1/redemptions", json=token, headers=bearer(secret))
                licences.append(bought.json()["licences"][0]["licence_id"])
            path = f"/v1/licences/{licences[0]}/certificate"
            for _ in range(2):
                assert (await http.post(path, json=body, headers=bearer(first))).status_code == 201
            refused = await http.post(path, json=body, headers=bearer(first))
            assert problem(refused) is ProblemType.TOO_MANY_REQUESTS
            assert refused.json()["reason"] == "certificates"
            assert int(refused.headers["Retry-After"]) == pytest.approx(86_400, abs=60)
            assert (await http.post(path, json=body, headers=bearer(second))).status_code == 201
            shift[0] = dt.timedelta(hours=24, minutes=1)
            assert (await http.post(path, json=body, headers=bearer(first))).status_code == 201


def bearer(secret: DeviceSecret) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret.bearer}"}


async def test_nothing_of_a_csr_but_its_key_is_in_the_certificate(service: Running) -> None:
    secret = new_secret()
    licence_id = await sold(service, secret)
    key = certificates.new_key()
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "evil.example")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.CRLDistributionPoints(
                [
                    x509.DistributionPoint(
                        [x509.UniformResourceIdentifier("https://evil.example/")], None, None, None
                    )
                ]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    async with service.client(secret) as client:
        (licence,) = (await client.library()).licences
        before = utc_now()
        answer = await client.licence_certificate(licence.licence_id, csr)
    leaf = certificates.load_certificate(answer.certificate)
    assert leaf.public_key() == key.public_key()
    identity = certificates.identify(leaf)  # the strict profile: nothing beside it
    assert isinstance(identity, LicenceIdentity)
    assert identity.licence_id == licence_id
    assert b"evil" not in leaf.public_bytes(serialization.Encoding.DER)
    assert len(leaf.extensions) == 6
    assert before - leaf.not_valid_before_utc == pytest.approx(
        dt.timedelta(hours=1), abs=dt.timedelta(seconds=10)
    )


async def test_slow_bodies_heads_and_handshakes_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = Patience(handshake_s=0.3, head_s=0.3, body_s=0.3, idle_s=1_000)
    monkeypatch.setattr(app, "FrontEnd", functools.partial(FrontEnd, patience=impatient))
    folder = await found_folder(tmp_path / "licensing")
    async with running(folder) as service:
        async with raw(service) as stream:
            head = (
                "POST /v1/redemptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n"
                f"Authorization: Bearer {new_secret().bearer}\r\n\r\n"
            )
            answer = await answer_to(stream, head.encode() + b'{"payment')
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"problem:too-slow" in answer
            assert b"connection: close" in answer.lower()
        async with raw(service) as stream:
            assert await answer_to(stream, HALF_A_HEAD) == b""
        async with raw(service) as stream:
            assert (await answer_to(stream, HEALTHZ)).endswith(b"ok\n")
            assert await answer_to(stream, HALF_A_HEAD) == b""
        port = int(service.address.rpartition(":")[2])
        async with await trio.open_tcp_stream("localhost", port) as silent:
            with trio.fail_after(PATIENCE_S):
                assert await silent.receive_some() == b""


async def test_idle_connections_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = Patience(head_s=1_000, idle_s=0.3)
    monkeypatch.setattr(app, "FrontEnd", functools.partial(FrontEnd, patience=impatient))
    folder = await found_folder(tmp_path / "licensing")
    async with running(folder) as service, raw(service) as stream:
        assert (await answer_to(stream, HEALTHZ)).endswith(b"ok\n")
        assert await until_closed_or_complete(stream) == b""


async def test_large_body_is_answered_before_it_is_read_and_the_connection_ends(
    service: Running,
) -> None:
    async with raw(service) as stream:
        head = (
            "POST /v1/redemptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n"
            f"Authorization: Bearer {new_secret().bearer}\r\n\r\n"
        )
        answer = await answer_to(stream, head.encode() + b"x" * 1_000_000)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"problem:too-large" in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",  # no Host (RFC 9112, section 3.2)
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_and_closed(service: Running, request_: bytes) -> None:
    async with raw(service) as stream:
        await stream.send_all(request_)
        received = b""
        with contextlib.suppress(trio.BrokenResourceError):
            while chunk := await stream.receive_some():
                received += chunk
        assert set(re.findall(rb"HTTP/1\.1 ([0-9])", received)) == {b"4"}
    async with service.http() as http:
        assert (await http.get("/healthz")).status_code == 200


async def test_requests_in_one_segment_and_chunked_bodies_are_answered_in_order(
    service: Running,
) -> None:
    async with raw(service) as stream:
        one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        two = (
            b"POST /v1/redemptions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b'Expect: 100-continue\r\nContent-Type: application/json\r\n\r\n5\r\n{"pay\r\n0\r\n\r\n'
        )
        await stream.send_all(one + one + two + one)
        received = b""
        while received.count(b"ok\n") < 3:
            received += await stream.receive_some()
        statuses = re.findall(rb"HTTP/1\.1 ([0-9]+)", received)
        assert statuses == [b"200", b"200", b"100", b"400", b"200"]


async def test_stopping_answers_what_is_under_way_and_takes_nothing_new(tmp_path: Path) -> None:
    folder = await found_folder(tmp_path / "licensing")
    async with running(folder) as service:
        await service.publish()
        body = json.dumps({"payment_token": service.token()}).encode()
        head = (
            "POST /v1/redemptions HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {new_secret().bearer}\r\n\r\n"
        ).encode()
        async with raw(service) as busy, raw(service) as idle, service.http() as http:
            hello = await answer_to(idle, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert hello.endswith(b"ok\n")
            await busy.send_all(head + body[:10])
            # Once this is answered, the request before it has been taken up.
            assert (await http.get("/healthz")).status_code == 200
            await trio.testing.wait_all_tasks_blocked(0.05)
            service.stop.set()
            assert await until_closed_or_complete(idle) == b""
            port = int(service.address.rpartition(":")[2])
            with trio.fail_after(PATIENCE_S), pytest.raises(OSError):  # noqa: PT011 - refused
                await _connect_until_refused(port)
            answer = await answer_to(busy, body[10:])
            assert answer.startswith(b"HTTP/1.1 201 ")
            assert b"connection: close" in answer.lower()


async def _connect_until_refused(port: int) -> None:
    while True:
        await trio.aclose_forcefully(await trio.open_tcp_stream("localhost", port))


async def test_readyz_tells_the_truth(tmp_path: Path) -> None:
    shift = [dt.timedelta(0)]
    folder = await found_folder(tmp_path / "licensing")
    clock = lambda: utc_now() + shift[0]  # noqa: E731
    async with running(folder, clock=clock) as service, service.http() as http:
        assert (await http.get("/readyz")).text == "ready\n"
        # Nobody refreshed the signer, and the clock is all that knows.
        shift[0] = dt.timedelta(days=366)
        answer = await http.get("/readyz")
        assert problem(answer) is ProblemType.NOT_READY
        assert answer.json()["detail"] == "the torrent signer's certificate has expired"
        shift[0] = dt.timedelta(days=20 * 365 - 6)
        assert "swarm CA ends at" in (await http.get("/readyz")).json()["detail"]
        shift[0] = dt.timedelta(0)


async def test_metrics_are_counted_with_few_labels_on_a_port_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = await limited_folder(tmp_path, "device_burst = 2", metrics_listen="localhost:0")
    async with running(folder) as service, service.http(new_secret().bearer) as http:
        for path in ("/v1/licences", "/v1/nothing-" + "x" * 50, "/v1/licences/a/torrent"):
            await http.request("GET", path)
        await http.request("BREW", "/coffee")
        assert (await http.get("/metrics")).status_code in (404, 429)
        port = int(capsys.readouterr().out.partition("metrics=localhost:")[2].split()[0])
        async with await trio.open_tcp_stream("localhost", port) as stream:
            await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with trio.fail_after(PATIENCE_S):
                text = b"".join([chunk async for chunk in stream]).decode()
    assert 'requests_total{method="GET",route="/v1/licences",status="200"} 1.0' in text
    assert 'route="unmatched",status="404"} 1.0' in text
    assert 'albumswarm_licensing_limited_total{limit="device"}' in text
    assert "albumswarm_licensing_ready 1.0" in text
    assert 'albumswarm_licensing_expiry_timestamp_seconds{what="ca"}' in text
    assert 'albumswarm_licensing_store_keys{store="teststore"} 1.0' in text
    assert "process_open_fds" in text
    assert "xxxx" not in text
    assert "BREW" not in text


async def test_metrics_port_is_for_loopback_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="loopback"):
        await found_folder(tmp_path / "licensing", metrics_listen="0.0.0.0:9443")


async def test_nothing_secret_in_logs_metrics_answers_or_the_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = await found_folder(tmp_path / "licensing", metrics_listen="localhost:0")
    secret = new_secret()
    answers: list[str] = []
    async with running(folder) as service:
        licence_id = await sold(service, secret)
        seeder = await service.api_key(Role.SEEDER)
        token, spent = service.token(), service.token()
        key = certificates.new_key()
        secrets_ = [secret.bearer, seeder, token, spent, seeder.removeprefix("askey_")]
        csr = {"csr": certificates.make_csr(key)}
        async with service.http() as http:
            for method, path, who, body in [
                ("POST", "/v1/redemptions", secret.bearer, {"payment_token": spent}),
                ("POST", "/v1/redemptions", new_secret().bearer, {"payment_token": spent}),
                ("POST", "/v1/redemptions", secret.bearer, {"payment_token": token[:-4] + "AAAA"}),
                ("POST", "/v1/redemptions", secret.bearer, {token: token}),
                ("POST", "/v1/redemptions", seeder, {"payment_token": token}),
                ("POST", f"/v1/redemptions?t={token}", secret.bearer, {"payment_token": 1}),
                ("GET", f"/v1/{token}", secret.bearer, None),
                ("GET", f"/v1/licences/{secret.bearer}/torrent", secret.bearer, None),
                ("GET", f"/v1/releases/{seeder}", secret.bearer, None),
                ("GET", f"/v1/releases?since={seeder}", seeder, None),
                ("GET", "/v1/releases", secret.bearer, None),
                ("GET", "/v1/releases", seeder, None),
                ("POST", "/v1/hosts/certificate", seeder, csr),
                ("POST", f"/v1/licences/{licence_id}/certificate", secret.bearer, csr),
                ("POST", f"/v1/licences/{licence_id}/certificate", secret.bearer, {"csr": token}),
                ("GET", f"/v1/licences/{licence_id}/torrent", secret.bearer, None),
            ]:
                headers = {"Authorization": f"Bearer {who}", "Cookie": token}
                answer = await http.request(method, path, headers=headers, json=body)
                assert answer.status_code != 500
                answers.append(repr(answer.headers.raw) + answer.content.decode("latin-1"))
        log = capsys.readouterr().out
        port = int(log.partition("metrics=localhost:")[2].split()[0])
        async with await trio.open_tcp_stream("localhost", port) as stream:
            await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            metrics = b"".join([chunk async for chunk in stream]).decode()
    log += "".join(capsys.readouterr())
    stored = b"".join(path.read_bytes() for path in folder.root.glob("ledger.sqlite3*"))
    for name, text in [
        ("log", log),
        ("metrics", metrics),
        ("ledger", stored.decode("latin-1")),
        *(("answer", text) for text in answers),
    ]:
        for kept in secrets_:
            # A token's signature alone must not show either; nor most of a secret.
            for part in (kept, kept[-40:], kept[:36] if len(kept) < 60 else kept):
                assert part not in text, (name, text[:500])
    assert log.count("path=") >= len(answers)


async def test_a_client_that_leaves_in_the_middle_is_no_error_of_ours(service: Running) -> None:
    head = (
        "POST /v1/redemptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n"
        f"Authorization: Bearer {new_secret().bearer}\r\n\r\n"
    )
    with capture_logs() as logs:
        async with raw(service) as stream:
            await stream.send_all(head.encode() + b'{"payment')
        async with service.http() as http:
            with trio.fail_after(PATIENCE_S):
                while not any(entry.get("method") == "POST" for entry in logs):
                    assert (await http.get("/v1/ca")).status_code == 200
    told = [entry for entry in logs if entry.get("method") != "GET"]
    assert [(entry["event"], entry["status"]) for entry in told] == [("request", 400)]


async def test_publications_of_others_are_refused_before_they_are_read(service: Running) -> None:
    keys = ("", await service.api_key(Role.SEEDER), "askey_" + "A" * 43)
    for key, status in zip(keys, (401, 403, 401), strict=True):
        async with raw(service) as stream:
            head = (
                "PUT /v1/releases/rel-0001/flac HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {key}\r\nContent-Length: 20000000\r\n\r\n"
            )
            answer = await answer_to(stream, head.encode() + b"{")
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert b"problem:api-key-refused" in answer


async def test_requests_that_never_come_to_their_end_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = Patience(body_s=1_000)
    monkeypatch.setattr(app, "FrontEnd", functools.partial(FrontEnd, patience=patient))
    folder = await limited_folder(tmp_path, "connections = 16")
    head = (
        "POST /v1/redemptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n"
        f"Authorization: Bearer {new_secret().bearer}\r\n\r\n"
    )
    async with running(folder) as service, contextlib.AsyncExitStack() as stack:
        for _ in range(16):
            stream = await stack.enter_async_context(raw(service))
            await stream.send_all(head.encode() + b'{"payment')
        async with raw(service) as other:
            assert (await answer_to(other, HEALTHZ)).endswith(b"ok\n")
        async with service.http() as http:
            assert (await http.get("/readyz")).text == "ready\n"


async def test_too_many_connections_cut_the_one_that_idles_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = Patience(head_s=1_000)
    monkeypatch.setattr(app, "FrontEnd", functools.partial(FrontEnd, patience=patient))
    folder = await limited_folder(tmp_path, "connections = 16")
    async with running(folder) as service, contextlib.AsyncExitStack() as stack:
        streams = []
        for _ in range(17):
            stream = await stack.enter_async_context(raw(service))
            await stream.do_handshake()
            streams.append(stream)
        with contextlib.suppress(trio.BrokenResourceError, ssl.SSLError):
            assert await streams[0].receive_some() == b""
        for stream in (streams[1], streams[-1]):
            assert (await answer_to(stream, HEALTHZ)).endswith(b"ok\n")
