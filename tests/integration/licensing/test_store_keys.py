"""Stores' keys: several stores, from files and URLs, rotated while the service runs."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_lib.errors import AlbumswarmError, ConfigError
from client_lib.transport.tls import client_context
from client_lib.wire.problem import ProblemType
from licensing import key_sources
from licensing.issuers import key_id, public_pem
from licensing.jwks import MAX_JWKS_BYTES
from licensing.key_sources import JwksUrl, KeyFiles
from tests.integration.licensing.running import (
    ALBUM,
    Running,
    found_folder,
    new_secret,
    problem,
    running,
)
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki
from tests.unit.client_lib.transport.https_server import HttpsServer, Request, http, https_server

PATH = "/.well-known/jwks.json"


def entry(key: Ed25519PrivateKey, kid: str) -> dict[str, str]:
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": x}


STRANGERS = json.dumps({"keys": [entry(Ed25519PrivateKey.generate(), "stranger")]}).encode()


class Store:
    """What a store's web server answers; `broken` overrides it."""

    def __init__(self) -> None:
        self.pki = SwarmPki("store CA")
        self.keys: dict[str, Ed25519PrivateKey] = {"k1": Ed25519PrivateKey.generate()}
        self.max_age_s = 100
        self.broken: Callable[[], bytes | None] | None = None

    def answer(self, request: Request) -> bytes | None:
        if self.broken is not None:
            return self.broken()
        assert request.path == PATH
        entries = [entry(key, kid) for kid, key in self.keys.items()]
        etag = f'"{"-".join(self.keys)}"'
        max_age = f"public, max-age={self.max_age_s}"
        if request.headers.get("if-none-match") == etag:
            return http(304, ETag=etag, Cache_Control=max_age)
        return http(200, json.dumps({"keys": entries}).encode(), ETag=etag, Cache_Control=max_age)

    def source(self, server: HttpsServer, cache: Path, clock: "Clock") -> JwksUrl:
        context = client_context(self.pki.ca_pem)
        return JwksUrl(server.url + PATH, context, cache, clock=clock)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_cached_as_long_as_the_store_says(tmp_path: Path) -> None:
    store, clock = Store(), Clock()
    async with https_server(store.pki, tmp_path, store.answer) as server:
        source = store.source(server, tmp_path / "jwks" / "cache.json", clock)
        await source.refresh(wanted=False)
        assert set(source.keys) == {"k1"}
        store.keys["k2"] = Ed25519PrivateKey.generate()
        clock.now += store.max_age_s - 1
        await source.refresh(wanted=False)
        assert (set(source.keys), len(server.requests)) == ({"k1"}, 1)
        clock.now += 1
        await source.refresh(wanted=False)
        assert set(source.keys) == {"k1", "k2"}
        clock.now += store.max_age_s
        await source.refresh(wanted=False)
        assert server.requests[-1].headers["if-none-match"] == '"k1-k2"'
        assert set(source.keys) == {"k1", "k2"}
        del store.keys["k1"]
        clock.now += store.max_age_s
        await source.refresh(wanted=False)
        assert set(source.keys) == {"k2"}


async def test_unknown_kid_asks_at_once_but_once_a_minute_at_most(tmp_path: Path) -> None:
    store, clock = Store(), Clock()
    async with https_server(store.pki, tmp_path, store.answer) as server:
        source = store.source(server, tmp_path / "jwks" / "cache.json", clock)
        await source.refresh(wanted=True)
        for _ in range(20):
            await source.refresh(wanted=True)
        assert len(server.requests) == 1
        store.keys["k2"] = Ed25519PrivateKey.generate()
        clock.now += key_sources.WANTED_EVERY_S
        await source.refresh(wanted=True)
        assert set(source.keys) == {"k1", "k2"}
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        http(500, STRANGERS),
        http(302, STRANGERS, Location="https://localhost/elsewhere"),
        http(200, b"nonsense"),
        http(200, b'{"keys": []}'),
        http(200, b" " * (MAX_JWKS_BYTES + 1)),
    ],
    ids=["dropped", "500", "redirect", "nonsense", "empty", "large"],
)
async def test_store_that_fails_keeps_its_last_good_keys_also_over_a_restart(
    tmp_path: Path, answer: bytes | None
) -> None:
    store, clock = Store(), Clock()
    cache = tmp_path / "jwks" / "cache.json"
    async with https_server(store.pki, tmp_path, store.answer) as server:
        source = store.source(server, cache, clock)
        await source.refresh(wanted=False)
        store.broken = lambda: answer
        clock.now += store.max_age_s
        with pytest.raises(AlbumswarmError):
            await source.refresh(wanted=False)
        await source.refresh(wanted=False)  # not again at once: others wait for us
        restarted = store.source(server, cache, clock)
        for each in (source, restarted):
            assert set(each.keys) == {"k1"}
        store.broken = None
        store.keys = {"k9": Ed25519PrivateKey.generate()}
        clock.now += key_sources.RETRIED_AFTER_S
        for each in (source, restarted):
            await each.refresh(wanted=False)
            assert set(each.keys) == {"k9"}
    assert cache.stat().st_mode & 0o777 == 0o600


async def test_store_with_another_certificate_or_without_an_answer_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = Store(), Clock()
    async with https_server(store.pki, tmp_path, store.answer) as server:
        stranger = client_context(SwarmPki("another CA").ca_pem)
        source = JwksUrl(server.url + PATH, stranger, tmp_path / "cache.json", clock=clock)
        with pytest.raises(AlbumswarmError, match="certificate"):
            await source.refresh(wanted=False)
        assert server.requests == []
    monkeypatch.setattr(key_sources, "FETCH_WITHIN_S", 0.2)
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with listener:
        port = listener.socket.getsockname()[1]
        source = JwksUrl(
            f"https://localhost:{port}/", stranger, tmp_path / "cache.json", clock=clock
        )
        with trio.fail_after(PATIENCE_S), pytest.raises(AlbumswarmError, match="no answer"):
            await source.refresh(wanted=False)


async def test_cache_that_was_damaged_or_is_of_another_url_is_no_cache(tmp_path: Path) -> None:
    store, clock = Store(), Clock()
    cache = tmp_path / "jwks" / "cache.json"
    async with https_server(store.pki, tmp_path, store.answer) as server:
        await store.source(server, cache, clock).refresh(wanted=False)
        context = client_context(store.pki.ca_pem)
        assert JwksUrl("https://other.example/", context, cache, clock=clock).keys == {}
        cache.write_bytes(cache.read_bytes()[:-9])
        assert store.source(server, cache, clock).keys == {}


async def test_key_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first, second = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()

    def write(*keys: Ed25519PrivateKey) -> None:
        entries = [entry(key, key_id(key.public_key())) for key in keys]
        path.write_text(json.dumps({"keys": entries}))

    with pytest.raises(ConfigError, match=r"keys\.json"):
        KeyFiles((path,), lambda: key_sources._read_jwks_file(path))
    write(first)
    files = KeyFiles((path,), lambda: key_sources._read_jwks_file(path))
    assert list(files.keys) == [key_id(first.public_key())]
    write(first, second)
    await files.refresh(wanted=False)
    assert len(files.keys) == 2
    path.write_text("half a fi")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"keys\.json"):
            await files.refresh(wanted=True)
        assert len(files.keys) == 2
    write(second)
    await files.refresh(wanted=True)
    assert list(files.keys) == [key_id(second.public_key())]


def configure(root: Path, text: str) -> None:
    path = root / "licensing.toml"
    path.write_text(path.read_text() + text)


async def redeem(service: Running, store: str, kid: str, key: Any) -> Any:  # noqa: ANN401
    async with service.http(new_secret().bearer) as http_client:
        token = service.token(ALBUM, issuer=store, key=key, kid=kid)
        return await http_client.post("/v1/redemptions", json={"payment_token": token})


async def test_stores_rotate_their_keys_while_the_service_runs(tmp_path: Path) -> None:
    store = Store()
    root = tmp_path / "licensing"
    folder = await found_folder(root)
    (root / "store-ca.pem").write_text(store.pki.ca_pem)
    filed = Ed25519PrivateKey.generate()
    (root / "filed.pem").write_bytes(public_pem(filed.public_key()))
    async with https_server(store.pki, tmp_path, store.answer) as server:
        url = server.url + PATH
        configure(
            root,
            f'[[issuers]]\nname = "web"\njwks_url = "{url}"\njwks_ca = "store-ca.pem"\n'
            '[[issuers]]\nname = "filed"\nkeys = { f1 = "filed.pem" }\n',
        )
        async with running(folder) as service:
            await service.publish()
            assert (await redeem(service, "web", "k1", store.keys["k1"])).status_code == 201
            assert (await redeem(service, "filed", "f1", filed)).status_code == 201
            # One store's key is no other store's.
            crossed = await redeem(service, "web", "f1", filed)
            assert problem(crossed) is ProblemType.PAYMENT_TOKEN_REFUSED
            assert crossed.json()["reason"] == "key"

            filed = Ed25519PrivateKey.generate()
            assert (await redeem(service, "filed", "f1", filed)).json()["reason"] == "signature"
            (root / "filed.pem").write_bytes(public_pem(filed.public_key()))
            os.utime(root / "filed.pem", ns=(1, 1))
            await redeem(service, "filed", "unknown", filed)
            assert (await redeem(service, "filed", "f1", filed)).status_code == 201
    # The store's web server is gone, and the service starts again.
    async with running(folder) as service:
        assert (await redeem(service, "web", "k1", store.keys["k1"])).status_code == 201


async def test_store_whose_keys_were_never_to_be_had_is_no_reason_to_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "licensing"
    folder = await found_folder(root)
    with trio.socket.socket() as nobody:
        await nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        configure(root, f'[[issuers]]\nname = "web"\njwks_url = "https://localhost:{port}/"\n')
        async with running(folder) as service:
            await service.publish()
            answer = await redeem(service, "web", "k1", Ed25519PrivateKey.generate())
            assert problem(answer) is ProblemType.NOT_READY
            assert answer.headers["Retry-After"]
            # The other store sells on, and the service is ready for it.
            async with service.http(new_secret().bearer) as http_client:
                body = {"payment_token": service.token()}
                sold = await http_client.post("/v1/redemptions", json=body)
                assert sold.status_code == 201
                assert (await http_client.get("/readyz")).status_code == 200
    assert "store keys not refreshed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('name = "a"', "needs keys, jwks_file or jwks_url"),
        ('name = "a"\njwks_url = "http://store.example/"', "jwks_url"),
        ('name = "a"\njwks_url = "https://user@store.example/"', "jwks_url"),
        ('name = "a"\nkeys = { k = "x" }\njwks_ca = "ca.pem"', "jwks_ca"),
        ('name = "a"\njwks_url = "https://a.example/"\njwks_ca = "no.pem"', "no.pem"),
        ('name = "a"\njwks_file = "no.json"', "no.json"),
    ],
)
async def test_wrong_issuer_stops_the_start(tmp_path: Path, section: str, message: str) -> None:
    root = tmp_path / "licensing"
    folder = await found_folder(root)
    configure(root, f"[[issuers]]\n{section}\n")
    with pytest.raises((ExceptionGroup, ConfigError)) as caught:
        async with running(folder):
            pass
    error: BaseException = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConfigError)
    assert message in str(error)
