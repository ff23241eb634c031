"""What happens at the edges of the API: every error is a problem document."""

import contextlib
import datetime as dt
import json
from pathlib import Path

import pytest
import trio

from client_lib.wire.problem import ProblemType
from licensing.config import utc_now
from licensing.http.releases import MAX_PUBLICATION_BYTES
from licensing.ledger import Role
from tests.integration.licensing.running import (
    ALBUM,
    Running,
    found_folder,
    new_secret,
    problem,
    running,
)
from tests.patience import PATIENCE_S

RELEASE = "/v1/releases/" + ALBUM.replace(".", "/")


async def test_unknown_paths_and_methods_are_problems(service: Running) -> None:
    async with service.http(new_secret().bearer) as http:
        for path in ("/", "/nothing", "/v1", "/v1/nothing", "/schema", "/docs", "/v1/licences/x"):
            assert problem(await http.get(path)) is ProblemType.NOT_FOUND, path
        answer = await http.delete("/v1/licences")
        assert problem(answer) is ProblemType.METHOD_NOT_ALLOWED
        assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"payment_token": 1}',
        b'{"payment_token": ""}',
        b'{"payment_token": "a.b.c", "extra": 1}',
        b"[" * 5_000,
        b'{"payment_token": ' + b"[" * 5_000,
        b'{"payment_token": "\xff"}',
        b'{"payment_token": "\\ud800"}',
        json.dumps({"payment_token": "a" * 20_000}).encode(),
    ],
)
async def test_malformed_bodies_are_problems(service: Running, body: bytes) -> None:
    async with service.http(new_secret().bearer) as http:
        headers = {"Content-Type": "application/json"}
        answer = await http.post("/v1/redemptions", content=body, headers=headers)
        assert problem(answer) is ProblemType.MALFORMED_REQUEST


async def test_large_bodies_are_refused(service: Running) -> None:
    async with service.http(new_secret().bearer) as http:
        big = {"payment_token": "a" * (64 << 10)}
        assert problem(await http.post("/v1/redemptions", json=big)) is ProblemType.TOO_LARGE
    async with service.http(await service.api_key(Role.PUBLISHER)) as http:
        below = service.publication(torrent="A" * (20 << 20))
        assert problem(await http.put(RELEASE, json=below)) is ProblemType.TORRENT_REFUSED
        above = service.publication(torrent="A" * MAX_PUBLICATION_BYTES)
        assert problem(await http.put(RELEASE, json=above)) is ProblemType.TOO_LARGE


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer " + "A" * 42 + "="]
)
async def test_call_without_device_secret_is_refused(service: Running, authorization: str) -> None:
    async with service.http() as http:
        headers = {"Authorization": authorization} if authorization else {}
        answer = await http.get("/v1/licences", headers=headers)
        assert problem(answer) is ProblemType.UNKNOWN_DEVICE
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "eDp5" not in answer.text


async def test_bad_page_numbers_are_problems(service: Running) -> None:
    async with service.http(await service.api_key(Role.SEEDER)) as http:
        for since in ("-1", "x", "1.5", "9" * 40):
            answer = await http.get(f"/v1/releases?since={since}")
            assert problem(answer) is ProblemType.MALFORMED_REQUEST, since


async def test_release_ids_of_the_wrong_shape_are_problems(service: Running) -> None:
    async with service.http(await service.api_key(Role.PUBLISHER)) as http:
        for path in ("/v1/releases/UPPER/mp3", "/v1/releases/a%0A/mp3", "/v1/releases/-a/mp3"):
            answer = await http.put(path, json=service.publication())
            assert problem(answer) is ProblemType.MALFORMED_REQUEST, path
        answer = await http.get("/v1/releases/nothing/mp3/torrent")
        assert problem(answer) is ProblemType.UNKNOWN_RELEASE


async def test_failing_ledger_is_not_ready_and_says_nothing_more(service: Running) -> None:
    await service.publish()
    ledger = service.folder.root / "ledger.sqlite3"
    for name in (ledger, ledger.with_name("ledger.sqlite3-wal")):
        with name.open("r+b") as file:
            file.truncate(0)
            file.write(b"no database" * 5_000)
    async with service.http(new_secret().bearer) as http:
        answer = await http.post("/v1/redemptions", json={"payment_token": service.token()})
        assert problem(answer) is ProblemType.NOT_READY
        assert "sqlite" not in answer.text
        assert str(service.folder.root) not in answer.text
        assert problem(await http.get("/readyz")) is ProblemType.NOT_READY
        assert (await http.get("/healthz")).status_code == 200


async def test_health_and_api_description(service: Running) -> None:
    async with service.http() as http:
        assert (await http.get("/healthz")).text == "ok\n"
        assert (await http.get("/readyz")).text == "ready\n"
        document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/redemptions",
        "/v1/licences",
        "/v1/licences/{licence_id}/certificate",
        "/v1/licences/{licence_id}/torrent",
        "/v1/releases",
        "/v1/balance",
        "/v1/purchases",
        "/v1/revocations",
        "/v1/releases/{release_id}",
        "/v1/releases/{release_id}/{audio_format}",
        "/v1/releases/{release_id}/{audio_format}/torrent",
        "/v1/ca",
        "/v1/crl",
        "/v1/hosts/certificate",
        "/healthz",
        "/readyz",
    }
    redeem = document["paths"]["/v1/redemptions"]["post"]
    assert {"200", "201", "400", "401", "409", "422", "500"} <= set(redeem["responses"])


async def test_plain_http_and_garbage_at_the_port_do_no_harm(service: Running) -> None:
    port = int(service.address.rpartition(":")[2])
    with trio.fail_after(PATIENCE_S):
        for hello in (b"GET / HTTP/1.1\r\n\r\n", bytes(100), b""):
            stream = await trio.open_tcp_stream("localhost", port)
            async with stream:
                await stream.send_all(hello)
                await stream.send_eof()
                with contextlib.suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
        async with service.http() as http:
            assert (await http.get("/healthz")).status_code == 200


async def test_bug_is_a_problem_without_details_and_logged_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = False

    def clock() -> dt.datetime:
        if broken:
            raise RuntimeError("token-4711")
        return utc_now()

    folder = await found_folder(tmp_path / "licensing")
    async with running(folder, clock=clock) as service, service.http() as http:
        broken = True
        answer = await http.get("/v1/crl")
        assert problem(answer) is ProblemType.INTERNAL
        assert "RuntimeError" not in answer.text
    log = "".join(capsys.readouterr())
    assert "RuntimeError" in log
    assert "clock" in log
    assert "token-4711" not in log
    assert "Traceback" not in log
