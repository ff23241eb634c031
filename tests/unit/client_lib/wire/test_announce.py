import ipaddress
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import AnnounceError, AnnounceRefused
from client_lib.wire import bencode
from client_lib.wire.announce import MAX_QUERY_BYTES, AnnounceRequest, Event, PeerId
from client_lib.wire.announce_answer import AnnounceFailure, AnnounceResponse, Peer
from client_lib.wire.infohash import TruncatedInfoHash
from tests.unit.client_lib.wire.strategies import damaged

counts = st.integers(0, 2**63 - 1)
requests = st.builds(
    AnnounceRequest,
    info_hash=st.binary(min_size=20, max_size=20).map(TruncatedInfoHash),
    peer_id=st.binary(min_size=20, max_size=20).map(PeerId),
    port=st.integers(1, 65_535),
    uploaded_bytes=counts,
    downloaded_bytes=counts,
    left_bytes=counts,
    event=st.sampled_from(Event),
    numwant=st.none() | st.integers(0, 10_000),
    key=st.none() | st.binary(min_size=1, max_size=64),
    compact=st.booleans(),
)
peers = st.builds(Peer, st.ip_addresses(), st.integers(1, 65_535))
responses = st.builds(
    AnnounceResponse,
    interval_s=counts,
    min_interval_s=counts,
    complete=counts,
    incomplete=counts,
    # The wire keeps the families apart, so it is IPv4 first on the way back.
    peers=st.lists(peers, max_size=5).map(
        lambda found: tuple(sorted(found, key=lambda peer: peer.address.version))
    ),
    external_address=st.none() | st.ip_addresses(),
)
QUERY = (
    b"info_hash=%124Vx%9a%bc%de%f1%23Eg%89%ab%cd%ef%124Vx%9a&peer_id=-LT2110-abcdefghijkl"
    b"&port=6881&uploaded=0&downloaded=0&left=262144"
)
LIBTORRENT_QUERY = QUERY + (
    b"&corrupt=0&key=8D0C3C2A&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1"
    b"&redundant=0"
)


@given(requests)
def test_a_query_comes_back_as_it_went(request: AnnounceRequest) -> None:
    assert AnnounceRequest.from_query(request.to_query()) == request


@given(requests.flatmap(lambda request: damaged(request.to_query())) | st.binary(max_size=200))
def test_a_hostile_query_is_an_announce_or_an_announce_error(raw: bytes) -> None:
    try:
        request = AnnounceRequest.from_query(raw)
    except AnnounceError:
        return
    assert AnnounceRequest.from_query(request.to_query()) == request


@given(requests, st.data())
def test_the_order_of_the_parameters_means_nothing(
    request: AnnounceRequest, data: st.DataObject
) -> None:
    """libtorrent's own order is parsed by another way than any other."""
    escaped = {
        name: parameter
        for parameter in request.to_query().split(b"&")
        for name in [parameter.partition(b"=")[0]]
    }
    names = b"info_hash peer_id port uploaded downloaded left corrupt key event numwant compact"
    ordered = [escaped[name] for name in names.split() if name in escaped]
    as_libtorrent = b"&".join([*ordered, b"no_peer_id=1", b"supportcrypto=1", b"redundant=0"])
    shuffled = b"&".join(data.draw(st.permutations(ordered)))
    assert AnnounceRequest.from_query(as_libtorrent) == request
    assert AnnounceRequest.from_query(shuffled) == request


@given(st.lists(st.sampled_from([b"%", b"=", b"4", b"1", b"g", b"\n", b"%41", b"_", b"+"])))
def test_escapes_mean_the_same_to_urllib_where_they_are_well_formed(parts: list[bytes]) -> None:
    value = b"".join(parts)
    query = QUERY.replace(b"-LT2110-abcdefghijkl", value)
    well_formed = not re.search(rb"%(?![0-9a-fA-F]{2})", value)
    expected = unquote_to_bytes(value)
    if well_formed and len(expected) == 20:
        assert AnnounceRequest.from_query(query).peer_id == expected
    else:
        complaint = "20 bytes" if well_formed else "badly percent-encoded"
        with pytest.raises(AnnounceError, match=complaint):
            AnnounceRequest.from_query(query)


@given(requests.flatmap(lambda request: damaged(request.to_query())))
def test_libtorrent_s_own_way_of_writing_is_parsed_as_any_other(tail: bytes) -> None:
    """An empty parameter in front changes the way in which it is parsed, and nothing else."""

    def outcome(raw: bytes) -> AnnounceRequest | str:
        try:
            return AnnounceRequest.from_query(raw)
        except AnnounceError as error:
            return str(error)

    for raw in (tail, LIBTORRENT_QUERY + tail, LIBTORRENT_QUERY[: len(tail)] + tail):
        assert outcome(raw) == outcome(b"&" + raw) or len(raw) == MAX_QUERY_BYTES


def test_a_client_s_extras_do_no_harm() -> None:
    extras = b"&corrupt=0&no_peer_id=1&supportcrypto=1&redundant=0&ipv4=10.0.0.1&key=8D0C3C2A&&x"
    request = AnnounceRequest.from_query(QUERY + extras + b"&event=started&numwant=200")
    assert request.info_hash == bytes.fromhex("123456789abcdef123456789abcdef123456789a")
    assert request.peer_id == b"-LT2110-abcdefghijkl"
    assert request.event is Event.STARTED
    assert (request.numwant, request.key) == (200, b"8D0C3C2A")


@pytest.mark.parametrize("extra", [b"&event=paused", b"&event=", b"&numwant=-1", b"&numwant="])
def test_what_means_nothing_to_us_is_the_regular_announce(extra: bytes) -> None:
    assert AnnounceRequest.from_query(QUERY + extra) == AnnounceRequest.from_query(QUERY)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b"info_hash=", b"infohash=", "info_hash is missing"),
        (b"%9a&peer_id", b"&peer_id", "info_hash is 20 bytes"),
        (b"%9a&peer_id", b"%9&peer_id", "badly percent-encoded"),
        (b"%9a&peer_id", b"%zz&peer_id", "badly percent-encoded"),
        (b"-abcdefghijkl", b"-abc", "peer_id is 20 bytes"),
        (b"port=6881", b"port=0", "port is from 1"),
        (b"port=6881", b"port=65536", "port is from 1"),
        (b"port=6881", b"port=6881&port=6882", "port given twice"),
        (b"left=262144", b"left=-1", "left is not a decimal number"),
        (b"left=262144", b"left=+1", "left is not a decimal number"),
        (b"left=262144", b"left=007", "left is not a decimal number"),
        (b"left=262144", b"left=1e3", "left is not a decimal number"),
        (b"left=262144", b"left=" + b"9" * 19, "0 to 2"),
        (b"left=262144", b"left=" + b"1" * 2000, "left is not a decimal number"),
        (b"left=262144", b"left=" + "²".encode(), "left is not a decimal number"),
        (b"left=262144", b"left=1&key=" + b"k" * 65, "key is from 1"),
        (b"left=262144", b"left=1&x=" + b"x" * 4096, "more than 4096 bytes"),
    ],
)
def test_a_malformed_query_is_named(old: bytes, new: bytes, complaint: str) -> None:
    with pytest.raises(AnnounceError, match=complaint):
        AnnounceRequest.from_query(QUERY.replace(old, new))


@given(responses)
def test_a_response_comes_back_as_it_went(response: AnnounceResponse) -> None:
    assert AnnounceResponse.decode(response.encode()) == response


@given(responses.flatmap(lambda response: damaged(response.encode())) | st.binary(max_size=200))
def test_a_hostile_response_is_a_response_or_an_error_of_ours(data: bytes) -> None:
    try:
        response = AnnounceResponse.decode(data)
    except (AnnounceError, AnnounceRefused):
        return
    assert AnnounceResponse.decode(response.encode()) == response


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"le",
        b"de",
        b"d8:intervali-1ee",
        b"d8:interval4:1800e",
        b"d8:intervali1800e5:peers5:12345e",
        b"d8:intervali1800e5:peers6:\x7f\0\0\1\0\0e",  # port 0
        b"d8:intervali1800e5:peersld2:ip9:127.0.0.14:porti6881eeee",  # not compact
        b"d8:intervali1800e6:peers66:\x7f\0\0\1\x1a\xe1e",
        b"d14:failure reasoni1ee",
        b"d14:failure reason1:x8:retry in4:soone",
        b"d14:failure reason1:x8:retry ini-1ee",
    ],
)
def test_a_malformed_response_is_an_announce_error(data: bytes) -> None:
    with pytest.raises(AnnounceError):
        AnnounceResponse.decode(data)


@pytest.mark.parametrize(("retry_in", "seconds"), [(5, 300), ("never", None), (None, None)])
def test_a_failure_arrives_with_its_reason_and_when_to_ask_again(
    retry_in: int | None, seconds: int | None
) -> None:
    with pytest.raises(AnnounceRefused, match=r"^revoked: no more$") as refused:
        AnnounceResponse.decode(AnnounceFailure("revoked: no more", retry_in).encode())
    assert refused.value.retry_in_s == seconds


def test_a_hostile_reason_cannot_write_to_the_terminal() -> None:
    data = bencode.encode({b"failure reason": b"\x1b[2Jgone\r\n\xff" + b"x" * 5000})
    with pytest.raises(AnnounceRefused) as refused:
        AnnounceResponse.decode(data)
    assert refused.value.reason.isprintable()
    assert len(refused.value.reason) == 500


@pytest.mark.parametrize(("reason", "retry_in"), [("", None), ("x", 0), ("x", 10**9)])
def test_a_failure_that_bep_31_cannot_say_is_refused(reason: str, retry_in: int | None) -> None:
    with pytest.raises(AnnounceError):
        AnnounceFailure(reason, retry_in)


def test_compact_peers_are_address_and_port_in_network_order() -> None:
    peer = Peer(ipaddress.ip_address("10.1.2.3"), 6881)
    assert peer.compact == b"\x0a\x01\x02\x03\x1a\xe1"
    assert Peer.from_compact(peer.compact) == peer
