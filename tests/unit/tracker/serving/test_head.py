import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.client_lib.wire.strategies import damaged
from tracker.serving.head import (
    MAX_HEAD_BYTES,
    Fields,
    Head,
    HeadRefused,
    Heads,
    Sender,
    http_response,
    parse_fields,
)
from tracker.serving.sender import by_connection, by_proxy

HEAD = (
    b"GET /announce/abc?info_hash=%00&x=1 HTTP/1.1\r\nHost: localhost:8444\r\n"
    b"User-Agent: libtorrent/2.1.1\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
)


def parse_head(received: bytes, scanned_bytes: int = 0) -> Head | None:
    return Heads(by_connection).parse(received, 0, scanned_bytes)


def test_an_announce_s_head_is_taken_apart_and_the_next_request_left() -> None:
    head = parse_head(HEAD + b"GET /next")
    assert head == Head(b"/announce/abc", b"info_hash=%00&x=1", False, len(HEAD), None)


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        (b"1.1", b"Host: x\r\n", True),
        (b"1.1", b"Host: x\r\nCONNECTION: foo, Close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection:keep-alive\r\nContent-Length: 0\r\n", True),
    ],
)
def test_connections_persist_as_rfc_9112_says(
    version: bytes, fields: bytes, keep_alive: bool
) -> None:
    head = parse_head(b"GET /a HTTP/" + version + b"\r\n" + fields + b"\r\n")
    assert head is not None
    assert head.keep_alive is keep_alive
    assert head.query == b""


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"POST /announce/abc HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"HEAD /announce/abc HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET http://x/announce/abc HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET announce HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 400),
        (b"get /a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA: b\nContent-Length: 5\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
        (b"x" * MAX_HEAD_BYTES, 431),
    ],
)
def test_whatever_is_not_a_plain_get_is_refused(request_head: bytes, status: int) -> None:
    with pytest.raises(HeadRefused) as refused:
        parse_head(request_head)
    assert refused.value.status == status


@given(damaged(HEAD) | st.binary(max_size=300))
def test_a_hostile_head_is_refused_or_has_a_path(data: bytes) -> None:
    try:
        head = parse_head(data)
    except HeadRefused:
        return
    assert head is None or (head.path.startswith(b"/") and head.length_bytes <= len(data))


@given(st.lists(st.integers(0, len(HEAD)), max_size=6))
def test_a_head_in_pieces_is_the_same_head(cuts: list[int]) -> None:
    received = b""
    places = [0, *sorted(cuts), len(HEAD)]
    found = None
    for start, end in itertools.pairwise(places):
        scanned = len(received)
        received += HEAD[start:end]
        found = parse_head(received, scanned_bytes=scanned)
        assert (found is not None) == (end == len(HEAD))
        if found:
            break
    assert found == parse_head(HEAD)


def test_a_head_in_the_middle_is_parsed_where_it_begins() -> None:
    heads = Heads(by_connection)
    first = heads.parse(HEAD * 2)
    assert first is not None
    assert heads.parse(HEAD * 2, first.length_bytes) == first
    assert heads.parse(HEAD * 2, 2 * first.length_bytes) is None


@pytest.mark.parametrize(
    "fields",
    [
        b"Client-Cert: :AA==:\r\nX-Forwarded-For: 192.0.2.1\r\nAccept: *\r\n",
        b"Client-Cert: :AA==:\r\nX-Forwarded-For: 10.0.0.1, 192.0.2.1\r\n",
        b"X-Forwarded-For: 192.0.2.1\r\nClient-Cert: :AA==:\r\n",
        b"client-cert: :AA==:\r\nx-forwarded-for: 192.0.2.1\r\n",
        b"X-Forwarded-For: 10.0.0.1\r\nClient-Cert: :AA==:\r\nX-Forwarded-For: 192.0.2.1\r\n",
        b"X-Old: :AA==:\r\nClient-Cert: :AA==:\r\nX-Forwarded-For: 192.0.2.1\r\n",
    ],
)
def test_a_proxy_s_fields_mean_the_same_wherever_they_are(fields: bytes) -> None:
    heads = Heads(by_proxy)
    for _ in range(2):
        head = heads.parse(b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        assert head is not None
        assert head.sender == Sender(b"\0", bytes([192, 0, 2, 1]))


@pytest.mark.parametrize(
    "fields",
    [
        b"Client-Cert: :AA==:\r\nX-Forwarded-For: 192.0.2.1\r\nclient-cert: :AQ==:\r\n",
        b"CLIENT-cert: :AQ==:\r\nClient-Cert: :AA==:\r\nX-Forwarded-For: 192.0.2.1\r\n",
        b"Client-Cert: :AA==\r\nX-A: :\r\nX-Forwarded-For: 192.0.2.1\r\n",
        b"Client-Cert: :AA==:\r\nX-Forwarded-For: \0, 192.0.2.1\r\n",
        b"Client-Cert: :AA==:\r\nX-Forwarded-For: \0192.0.2.1\r\n",
        b"Client-Cert: :AA==:\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 3\r\n",
    ],
)
def test_what_a_proxy_must_not_send_is_refused_every_time(fields: bytes) -> None:
    heads = Heads(by_proxy)
    for _ in range(2):
        with pytest.raises(HeadRefused):
            heads.parse(b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")


def test_a_refused_head_is_refused_again() -> None:
    heads = Heads(by_connection)
    for _ in range(3):
        with pytest.raises(HeadRefused, match="Client-Cert is for proxies"):
            heads.parse(b"GET / HTTP/1.1\r\nHost: x\r\nClient-Cert: :AA==:\r\n\r\n")


def test_fields_are_found_by_any_spelling_and_listed_in_several_lines() -> None:
    found = parse_fields(
        b" HTTP/1.1\r\nHOST: x\r\nclient-CERT:\t:AA==: \r\nX-Forwarded-For: a, b\r\n"
        b"x-forwarded-for: c\r\nX-Client-Cert: no\r\n"
    )
    assert found == Fields(True, b":AA==:", b"a, b,c")


def test_two_certificates_are_one_too_many() -> None:
    with pytest.raises(HeadRefused, match="more than one client certificate"):
        parse_fields(b" HTTP/1.1\r\nHost: x\r\nClient-Cert: :AA==:\r\nClient-Cert: :AA==:\r\n")


def test_a_response_says_its_length_and_that_it_is_the_last() -> None:
    assert http_response(200, b"de", keep_alive=True) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nde"
    )
    refused = http_response(405, b"no\n", keep_alive=False)
    assert b"405 Method Not Allowed\r\n" in refused
    assert b"Allow: GET\r\nConnection: close\r\n\r\nno\n" in refused
