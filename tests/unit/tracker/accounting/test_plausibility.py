from hypothesis import given
from hypothesis import strategies as st

from tracker.accounting.amounts import Amounts, day_of
from tracker.accounting.flags import MOST_FLAGS, Flags
from tracker.accounting.plausibility import (
    MANY_NETWORKS,
    Networks,
    network_of,
    possible_bytes,
    unmatched_uploads,
)

GB = 10**9


def test_offload_is_the_share_that_central_seeders_did_not_send() -> None:
    amounts = Amounts(8 * GB, 10 * GB, 2 * GB)
    assert amounts.offload == 0.8
    assert amounts.saved_bytes == 8 * GB
    assert Amounts(central_uploaded_bytes=5).offload is None
    assert Amounts(0, GB, 2 * GB).offload == -1
    assert Amounts(0, GB, 2 * GB).saved_bytes == 0
    assert amounts + Amounts(1, 2, 3, 4) == Amounts(8 * GB + 1, 10 * GB + 2, 2 * GB + 3, 4)


def test_days_are_those_of_utc() -> None:
    assert day_of(0) == day_of(86_399.9) == 0
    assert day_of(86_400) == 1


def test_a_line_has_a_limit() -> None:
    assert possible_bytes(100, GB) >= 100 * GB
    assert possible_bytes(0, GB) < 2 * GB


def test_uploads_that_nobody_downloaded_are_told_with_figures() -> None:
    assert unmatched_uploads(Amounts(9 * GB, 10 * GB, GB)) is None
    evidence = unmatched_uploads(Amounts(90 * GB, 10 * GB, GB))
    assert evidence is not None
    assert str(90 * GB) in evidence
    assert str(10 * GB) in evidence


@given(*[st.integers(0, 2**53)] * 3)
def test_honest_swarms_are_never_unmatched(up: int, down: int, central: int) -> None:
    if up + central <= down:
        assert unmatched_uploads(Amounts(up, down, central)) is None


def v4(number: int, host: int = 1) -> bytes:
    return bytes([203, 0, number, host])


def test_many_networks_within_a_day_are_told_and_over_a_year_they_are_not() -> None:
    networks = Networks()
    told = [networks.note(b"owner", v4(n), n) for n in range(MANY_NETWORKS)]
    assert told[:-1] == [None] * (MANY_NETWORKS - 1)
    assert told[-1] == "started from 6 networks within a day"
    for n in range(30):
        assert networks.note(b"traveller", v4(n), n * 40_000) is None


def test_one_network_is_one_network_however_many_addresses_it_has() -> None:
    networks = Networks()
    for n in range(200):
        assert networks.note(b"owner", v4(7, n), n) is None
        assert networks.note(b"owner", bytes(8) + n.to_bytes(8, "big"), n) is None
    assert network_of(bytes(16)) == bytes(8)


def test_the_families_of_a_dual_stack_customer_count_apart() -> None:
    networks = Networks()
    for n in range(MANY_NETWORKS - 1):
        assert networks.note(b"owner", v4(n), n) is None
        assert networks.note(b"owner", bytes([n]) * 16, n) is None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 255)), max_size=300))
def test_what_is_remembered_of_networks_is_bounded(seen: list[tuple[int, int]]) -> None:
    networks = Networks(remembered=5)
    for owner, network in seen:
        networks.note(bytes([owner]), v4(network), 0)
    assert len(networks._seen) <= 5
    assert all(len(each) <= 2 * MANY_NETWORKS for each in networks._seen.values())


def test_flags_are_bounded_and_keep_the_newest_evidence() -> None:
    flags = Flags()
    for n in range(MOST_FLAGS + 10):
        flags.raise_flag("impossible-rate", f"licence {n}", "first", n)
    flags.raise_flag("impossible-rate", "licence 500", "second", 9_999)
    newest = flags.newest()
    assert len(newest) == MOST_FLAGS
    assert (newest[0].subject, newest[0].evidence) == ("licence 500", "second")
    assert (newest[0].first_s, newest[0].last_s, newest[0].times) == (500, 9_999, 2)
