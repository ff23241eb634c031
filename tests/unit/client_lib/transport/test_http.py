"""The HTTP client against servers that behave well, badly, or not at all, over real TLS."""

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from client_lib.errors import AnswerLost, UnreachableError, UsageError
from client_lib.transport.address import ServiceAddress
from client_lib.transport.http import HttpAnswer, HttpClient, open_http
from client_lib.transport.proxies import Proxy, environment_proxy
from client_lib.transport.tls import client_context
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki
from tests.unit.client_lib.transport.raw_server import (
    Behave,
    raw_server,
    read_head,
    server_context,
)

PKI = SwarmPki()
MAX_BYTES = 200_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def asking(
    behave: Behave, folder: Path, *, silence_s: float = 20.0
) -> AsyncIterator[tuple[HttpClient, str]]:
    context = server_context(PKI, folder)
    with trio.fail_after(PATIENCE_S):
        async with (
            raw_server(behave, context) as port,
            open_http(client_context(PKI.ca_pem), silence_s=silence_s) as http,
        ):
            yield http, f"https://localhost:{port}"


def saying(*chunks: bytes, then_wait: bool = False) -> Behave:
    async def behave(stream: trio.abc.Stream) -> None:
        await read_head(stream)
        for chunk in chunks:
            await stream.send_all(chunk)
        if then_wait:
            await trio.sleep_forever()

    return behave


async def get(http: HttpClient, service: str) -> HttpAnswer:
    return await http.ask(service, "GET", "/x", max_bytes=MAX_BYTES)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "chunks",
    [
        [OK],
        [bytes([byte]) for byte in OK],
        [CHUNKED + b"1;ext=1\r\no\r\n", b"1\r\nk\r\n0\r\nTrailer: x\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3, OK],
        [b"HTTP/1.1 100 Continue\r\n\r\n" + OK],
        [b"HTTP/1.1 200 OK\r\n\r\nok"],
        [b"HTTP/1.0 200 OK\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
        [OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nforged"],
    ],
    ids=["plain", "bytewise", "chunked", "hints", "100", "to-end", "1.0", "close", "unasked"],
)
async def test_answers_in_every_form_are_read(tmp_path: Path, chunks: list[bytes]) -> None:
    async with asking(saying(*chunks), tmp_path) as (http, service):
        for _ in range(2):  # the second on a new connection: this server closes after an answer
            answer = await get(http, service)
            assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.parametrize(
    ("chunks", "why"),
    [
        ([b"HTTP/1.1 200 OK\r\n", *[b"X-Padding: " + bytes(9000) + b"\r\n"] * 20], "too long"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"y" * 9000 + b"\r\n"] * 20], "too long"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" * 40, OK], "interim"),
        ([b"\x16\x03\x01garbage\r\n\r\n"], ""),
        ([b""], ""),
        ([b"HTTP/1.1 200 OK\r\nContent-Le"], ""),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"], "body"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"], "Length"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"], "Length"),
        ([CHUNKED + b"zz\r\nok"], ""),
        ([CHUNKED + b"2\r\nok\r\n"], ""),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"], ""),
    ],
    ids=[
        "nul-head", "huge-head", "endless-1xx", "garbage", "nothing", "half-head", "short-body",
        "two-lengths", "negative", "bad-chunk", "half-chunked", "101",
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_a_lost_one(
    tmp_path: Path, chunks: list[bytes], why: str
) -> None:
    async with asking(saying(*chunks), tmp_path) as (http, service):
        with pytest.raises(AnswerLost, match=f"(?i)^{service}: .*{why}") as lost:
            await get(http, service)
    assert lost.value.url == service


@pytest.mark.parametrize("head", [CHUNKED, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["chunked", "to-end"])
async def test_endless_body_is_left_at_the_limit(tmp_path: Path, head: bytes) -> None:
    sent = 0

    async def behave(stream: trio.abc.Stream) -> None:
        nonlocal sent
        await read_head(stream)
        await stream.send_all(head)
        while True:
            await stream.send_all(b"1000\r\n" + bytes(0x1000) + b"\r\n")
            sent += 0x1000

    async with asking(behave, tmp_path) as (http, service):
        with pytest.raises(UnreachableError, match=f"larger than {MAX_BYTES} bytes"):
            await get(http, service)
    assert sent < 100 * MAX_BYTES


@pytest.mark.parametrize(
    "chunks",
    [[], [b"HTTP/1.1 200 OK\r\nX: "], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"]],
    ids=["silent", "in-head", "in-body"],
)
async def test_silent_service_is_given_up(tmp_path: Path, chunks: list[bytes]) -> None:
    behave = saying(*chunks, then_wait=True)
    async with asking(behave, tmp_path, silence_s=0.05) as (http, service):
        with pytest.raises(UnreachableError, match="no answer in time"):
            await get(http, service)


async def test_dripping_head_is_given_up(tmp_path: Path) -> None:
    async def behave(stream: trio.abc.Stream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await stream.send_all(b"X: y\r\n")
            await trio.sleep(0.01)

    async with asking(behave, tmp_path, silence_s=0.1) as (http, service):
        with pytest.raises(UnreachableError, match="no answer in time"):
            await get(http, service)


async def test_connection_serves_again_and_a_closed_one_is_replaced(tmp_path: Path) -> None:
    connections = 0
    closed = trio.Event()

    async def behave(stream: trio.abc.Stream) -> None:
        nonlocal connections
        connections += 1
        for _ in range(3):
            await read_head(stream)
            await stream.send_all(OK)
        await stream.aclose()
        closed.set()

    async with asking(behave, tmp_path) as (http, service):
        for _ in range(3):
            await get(http, service)
        assert connections == 1
        await closed.wait()
        await get(http, service)
        assert connections == 2


async def test_only_what_may_be_repeated_is_repeated_when_a_kept_connection_breaks(
    tmp_path: Path,
) -> None:
    asked: list[bytes] = []

    async def behave(stream: trio.abc.Stream) -> None:
        asked.append(await read_head(stream))
        await stream.send_all(OK)
        asked.append(await read_head(stream))  # closed with the request on its way

    async with asking(behave, tmp_path) as (http, service):
        await get(http, service)
        assert (await get(http, service)).body == b"ok"
        assert len(asked) == 3
        with pytest.raises(AnswerLost):
            await http.ask(service, "POST", "/x", body=b"{}", max_bytes=MAX_BYTES)
    assert len(asked) == 4


async def test_refusal_of_a_long_body_is_read_though_the_body_was_not(tmp_path: Path) -> None:
    async def behave(stream: trio.abc.Stream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass

    async with asking(behave, tmp_path) as (http, service):
        body = bytes(4 << 20)
        answer = await http.ask(service, "PUT", "/x", body=body, max_bytes=MAX_BYTES)
    assert answer.status == 413


async def test_at_most_eight_connections_at_a_time(tmp_path: Path) -> None:
    open_now = most = 0
    go_on = trio.Event()

    async def behave(stream: trio.abc.Stream) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        if open_now == 8:
            go_on.set()
        for _ in range(30):
            await read_head(stream)
            await go_on.wait()
            await stream.send_all(OK)

    async with asking(behave, tmp_path) as (http, service), trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(get, http, service)
    assert most == 8


async def test_cancelled_question_leaves_no_connection(tmp_path: Path) -> None:
    asked, gone = trio.Event(), trio.Event()

    async def behave(stream: trio.abc.Stream) -> None:
        await read_head(stream)
        asked.set()
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.receive_some()
        gone.set()

    async with asking(behave, tmp_path) as (http, service):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, http, service)
            await asked.wait()
            nursery.cancel_scope.cancel()
        await gone.wait()


@pytest.mark.parametrize("host", ["other.example.com", "localhost"])
async def test_service_is_told_nothing_before_it_proves_its_name_and_ca(
    tmp_path: Path, host: str
) -> None:
    heard = b""

    async def behave(stream: trio.abc.Stream) -> None:
        nonlocal heard
        heard = await read_head(stream)

    stranger = SwarmPki() if host == "localhost" else PKI
    with trio.fail_after(PATIENCE_S):
        async with (
            raw_server(behave, server_context(stranger, tmp_path, host)) as port,
            open_http(client_context(PKI.ca_pem), headers={"Authorization": "Bearer s"}) as http,
        ):
            with pytest.raises(UnreachableError, match="certificate verify failed") as refused:
                await get(http, f"https://localhost:{port}")
    assert not isinstance(refused.value, AnswerLost)
    assert heard == b""


async def test_plain_server_is_not_spoken_to() -> None:
    async def answer_anything(stream: trio.abc.Stream) -> None:
        await stream.receive_some(1)
        await stream.send_all(OK)

    with trio.fail_after(PATIENCE_S):
        async with (
            raw_server(answer_anything, None) as port,
            open_http(client_context(PKI.ca_pem)) as http,
        ):
            with pytest.raises(UnreachableError):
                await get(http, f"https://localhost:{port}")


async def test_name_that_is_none_is_unreachable() -> None:
    async with open_http(client_context(PKI.ca_pem)) as http:
        for name in ("a..b", "x" * 64 + ".example"):
            with pytest.raises(UnreachableError):
                await get(http, f"https://{name}")


async def test_base_path_and_port_are_in_the_request(tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def behave(stream: trio.abc.Stream) -> None:
        heads.append(await read_head(stream))
        await stream.send_all(OK)

    async with asking(behave, tmp_path) as (http, service):
        await get(http, f"{service}/licensing/")
    assert heads[0].startswith(b"GET /licensing/x HTTP/1.1\r\n")
    assert f"host: {service.removeprefix('https://')}\r\n".encode() in heads[0].lower()


@pytest.mark.parametrize(
    ("url", "header", "authority"),
    [
        ("https://shop.example", "shop.example", "shop.example:443"),
        ("https://[::1]:8443/", "[::1]:8443", "[::1]:8443"),
    ],
)
def test_host_header_and_authority(url: str, header: str, authority: str) -> None:
    address = ServiceAddress.from_url(url)
    assert (address.host_header, address.authority) == (header, authority)


def test_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        ServiceAddress.from_url("https://user:s3cr3t@shop.example")
    assert "s3cr3t" not in str(refused.value)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def test_proxy_is_the_environments_unless_it_says_otherwise(
    no_proxies: pytest.MonkeyPatch,
) -> None:
    shop = ServiceAddress.from_url("https://shop.example")
    assert environment_proxy(shop) is None
    no_proxies.setenv("ALL_PROXY", "https://proxy.example")
    assert environment_proxy(shop) == Proxy("proxy.example", 443, True, None)
    no_proxies.setenv("HTTPS_PROXY", "user:s3%20cret@proxy.example:3128")
    basic = "Basic " + base64.b64encode(b"user:s3 cret").decode()
    proxy = environment_proxy(shop)
    assert proxy == Proxy("proxy.example", 3128, False, basic)
    assert basic not in repr(proxy)
    no_proxies.setenv("NO_PROXY", ".example")
    assert environment_proxy(shop) is None


@pytest.mark.parametrize("url", ["socks5://u:s3cr3t@h:1", "http://u:s3cr3t@h:99999", "http://:1"])
def test_proxy_that_is_none_is_refused_without_its_password(
    no_proxies: pytest.MonkeyPatch, url: str
) -> None:
    no_proxies.setenv("HTTPS_PROXY", url)
    with pytest.raises(UsageError, match="HTTPS_PROXY") as refused:
        environment_proxy(ServiceAddress.from_url("https://shop.example"))
    assert "s3cr3t" not in str(refused.value)


async def _forward(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while data := await source.receive_some():
            await sink.send_all(data)
        await sink.aclose()


@pytest.mark.parametrize("tls", [False, True], ids=["http-proxy", "https-proxy"])
async def test_service_is_reached_through_a_tunnel(
    tmp_path: Path, no_proxies: pytest.MonkeyPatch, tls: bool
) -> None:
    heads: list[bytes] = []

    async def proxy(stream: trio.abc.Stream) -> None:
        head = await read_head(stream)
        heads.append(head)
        port = int(head.split()[1].rpartition(b":")[2])
        service = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"HTTP/1.1 200 Connected\r\n\r\n")
        async with service, trio.open_nursery() as nursery:
            nursery.start_soon(_forward, stream, service)
            nursery.start_soon(_forward, service, stream)

    ca = tmp_path / "ca.pem"
    ca.write_text(PKI.ca_pem)
    no_proxies.setenv("SSL_CERT_FILE", str(ca))
    context = server_context(PKI, tmp_path)
    with trio.fail_after(PATIENCE_S):
        async with (
            raw_server(proxy, context if tls else None) as proxy_port,
            raw_server(saying(OK), context) as port,
            open_http(
                client_context(PKI.ca_pem), headers={"Authorization": "Bearer s3cr3t"}, proxies=True
            ) as http,
        ):
            scheme = "https" if tls else "http"
            no_proxies.setenv("HTTPS_PROXY", f"{scheme}://user:pw@localhost:{proxy_port}")
            assert (await get(http, f"https://localhost:{port}")).body == b"ok"
    assert heads[0].startswith(f"CONNECT localhost:{port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic dXNlcjpwdw==\r\n".lower() in heads[0].lower()
    assert b"s3cr3t" not in heads[0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "makes no tunnel: HTTP 407"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"", "proxy at localhost"),
    ],
)
async def test_proxy_without_a_tunnel_is_told(
    no_proxies: pytest.MonkeyPatch, answer: bytes, why: str
) -> None:
    with trio.fail_after(PATIENCE_S):
        async with (
            raw_server(saying(answer), None) as proxy_port,
            open_http(ssl.create_default_context(), proxies=True) as http,
        ):
            no_proxies.setenv("HTTPS_PROXY", f"http://localhost:{proxy_port}")
            with pytest.raises(UnreachableError, match=why):
                await get(http, "https://shop.example")
