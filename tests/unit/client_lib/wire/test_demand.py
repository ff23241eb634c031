import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import AnnounceError
from client_lib.wire.demand import Demand, DemandQuery, FleetMember, RevokedPeer, SwarmDemand

ANSWER = Demand(
    version=7,
    full=False,
    fleet=(FleetMember("origin-1", ("192.0.2.1", "2001:db8::1"), 6881, 10**8, False, 5),),
    swarms=(SwarmDemand("12" * 20, 3, 1, 1, 900, 500),),
    cold=("34" * 20,),
    revoked=(RevokedPeer("12" * 20, "192.0.2.7", 6881, 4),),
)

addresses = st.ip_addresses().map(str)
queries = st.builds(
    DemandQuery,
    port=st.integers(1, 65_535),
    capacity=st.integers(0, 10**12),
    draining=st.booleans(),
    version=st.integers(0, 2**53),
    addresses=st.lists(addresses, max_size=4).map(tuple),
)


@given(queries)
def test_a_query_survives_the_wire(query: DemandQuery) -> None:
    assert DemandQuery.from_query(query.to_query().encode()) == query


@given(st.binary(max_size=1_200))
def test_any_bytes_are_a_query_or_a_clear_refusal(raw: bytes) -> None:
    try:
        query = DemandQuery.from_query(b"port=1&capacity=2&" + raw)
    except AnnounceError:
        return
    assert query.port == 1


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "port is missing"),
        (b"port=1", "capacity is missing"),
        (b"port=0&capacity=1", "port is from 1"),
        (b"port=1&port=1&capacity=1", "port given twice"),
        (b"port=-1&capacity=1", "not a decimal number"),
        (b"port=1&capacity=9999999999999999999", "capacity is from 0"),
        (b"port=1&capacity=1&draining=yes", "draining is 0 or 1"),
        (b"port=1&capacity=1&version=99999999999999999", "version is that"),
        (b"port=1&capacity=1&address=example.org", "not an IPv4 or IPv6 address"),
        (b"port=1&capacity=1&address=fe80::1%25" + 60 * b"x", "not an IPv4 or IPv6 address"),
        (b"port=1&capacity=1" + 5 * b"&address=192.0.2.1", "more than 4"),
        (b"port=1&capacity=1&x=" + 2_000 * b"x", "more than 1000"),
        ("port=1&capacity=1&x=ä".encode(), "malformed"),
        (b"port=1&capacity=1" + 40 * b"&x=1", "malformed"),
    ],
)
def test_what_no_seeder_says_is_refused_in_words(raw: bytes, words: str) -> None:
    with pytest.raises(AnnounceError, match=words):
        DemandQuery.from_query(raw)


def test_an_answer_survives_the_wire() -> None:
    assert Demand.decode(ANSWER.encode()) == ANSWER


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"more": ' + b"[" * 100_000,
        ANSWER.encode()[:-1],
        ANSWER.encode().replace(b"1212", b"XX12", 1),
        ANSWER.encode().replace(b'"port":6881', b'"port":0', 1),
        ANSWER.encode().replace(b'"leechers":3', b'"leechers":-3', 1),
    ],
)
def test_garbage_is_no_answer(garbage: bytes) -> None:
    with pytest.raises(AnnounceError, match="not an answer"):
        Demand.decode(garbage)
