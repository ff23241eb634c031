import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_lib.wire.announce import AnnounceRequest, Event, PeerId
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.sessions import MOST_OF_OWNER, Progress, Sessions
from tracker.swarms.peers import OWNER_BYTES, Owner

SESSION_S = 2_100
SWARM = TruncatedInfoHash(b"s" * 20)


def owner(number: int = 1) -> Owner:
    return Owner(hashlib.sha256(number.to_bytes(8, "big")).digest()[:OWNER_BYTES])


def request(
    uploaded: int,
    downloaded: int,
    event: Event = Event.REGULAR,
    *,
    left: int = 0,
    key: bytes = b"8D0C3C2A",
    info_hash: TruncatedInfoHash = SWARM,
) -> AnnounceRequest:
    return AnnounceRequest(
        info_hash, PeerId(b"-LT2110-abcdefghijkl"), 6881, uploaded, downloaded, left, event, key=key
    )


class Session:
    """One client, announcing."""

    def __init__(self, sessions: Sessions | None = None, key: bytes = b"8D0C3C2A") -> None:
        self.sessions = Sessions(session_s=SESSION_S) if sessions is None else sessions
        self.key = key

    def announce(
        self, uploaded: int, downloaded: int, event: Event = Event.REGULAR, *, at_s: float
    ) -> tuple[int, int, bool]:
        asked = request(uploaded, downloaded, event, key=self.key)
        progress = self.sessions.advance(owner(), asked, at_s, roaming=False)
        return progress[:3] if progress else (0, 0, False)


def test_what_moved_since_the_last_announce_counts() -> None:
    client = Session()
    assert client.announce(0, 0, Event.STARTED, at_s=1_000) == (0, 0, False)
    assert client.announce(10, 100, at_s=1_300) == (10, 100, False)
    assert client.announce(10, 100, at_s=1_600) == (0, 0, False)
    assert client.announce(15, 300, Event.STOPPED, at_s=1_700) == (5, 200, False)


def test_one_owner_cannot_fill_the_accounts_with_sessions() -> None:
    sessions = Sessions(session_s=SESSION_S)
    other = Session(sessions)
    sessions.advance(owner(2), request(0, 0), 1_000, roaming=False)
    flood = [Session(sessions, key=b"%08x" % number) for number in range(1_000)]
    for second, client in enumerate(flood):
        client.announce(0, 0, Event.STARTED, at_s=1_000 + second)
    assert len(sessions) == MOST_OF_OWNER + 1
    assert flood[-1].announce(0, 70, at_s=2_001) == (0, 70, False)  # the newest are known
    assert other.announce(0, 100, at_s=2_002) == (0, 0, False)
    progress = sessions.advance(owner(2), request(0, 100), 2_003, roaming=False)
    assert progress is not None
    assert progress.downloaded_bytes == 100  # and nobody else's is forgotten


def test_a_session_that_was_with_another_tracker_is_a_baseline() -> None:
    client = Session()
    assert client.announce(500, 7_000, at_s=1_000) == (0, 0, False)
    assert client.announce(600, 7_500, at_s=1_300) == (100, 500, False)


def test_a_restarted_client_counts_from_zero() -> None:
    client = Session()
    client.announce(500, 7_000, at_s=1_000)
    assert client.announce(0, 0, Event.STARTED, at_s=1_100) == (0, 0, False)
    assert client.announce(30, 40, at_s=1_400) == (30, 40, False)


def test_a_restart_whose_started_was_lost_counts_nothing_twice() -> None:
    client = Session()
    client.announce(500, 7_000, at_s=1_000)
    assert client.announce(20, 30, at_s=1_300) == (0, 0, False)
    assert client.announce(25, 40, at_s=1_600) == (5, 10, False)


def test_counters_of_32_bits_wrap_around() -> None:
    client = Session()
    client.announce(2**32 - 1_000, 50, at_s=1_000)
    assert client.announce(500, 80, at_s=1_300) == (1_500, 30, False)


def test_announces_of_a_dual_stack_client_that_overtake_each_other_count_once() -> None:
    client = Session()
    client.announce(0, 0, at_s=1_000)
    assert client.announce(200, 2_000, at_s=1_300) == (200, 2_000, False)
    assert client.announce(190, 1_990, at_s=1_300.5) == (0, 0, False)
    assert client.announce(210, 2_010, at_s=1_600) == (10, 10, False)


def test_completed_counts_once_a_session_however_often_it_is_said() -> None:
    client = Session()
    client.announce(0, 0, at_s=1_000)
    assert client.announce(0, 9, Event.COMPLETED, at_s=1_300) == (0, 9, True)
    assert client.announce(0, 9, Event.COMPLETED, at_s=1_301) == (0, 0, False)
    assert client.announce(3, 9, Event.COMPLETED, at_s=1_302) == (3, 0, False)


def test_stopped_over_both_families_counts_once() -> None:
    client = Session()
    client.announce(0, 0, at_s=1_000)
    assert client.announce(5, 5, Event.STOPPED, at_s=1_300) == (5, 5, False)
    assert client.announce(5, 5, Event.STOPPED, at_s=1_300) == (0, 0, False)
    assert len(client.sessions) == 0


def test_a_session_that_was_silent_for_too_long_is_a_baseline_again() -> None:
    client = Session()
    client.announce(10, 10, at_s=1_000)
    assert client.announce(900, 900, at_s=1_001 + SESSION_S) == (0, 0, False)
    assert client.announce(950, 950, at_s=1_301 + SESSION_S) == (50, 50, False)


def test_an_idle_session_stays_alive() -> None:
    client = Session()
    for at_s in range(0, 5 * SESSION_S, 1_000):
        assert client.announce(10, 10, at_s=at_s) == (0, 0, False)
    assert client.announce(11, 10, at_s=at_s + 1_000) == (1, 0, False)


def test_clients_of_an_owner_and_swarms_of_a_seeder_are_sessions_of_their_own() -> None:
    sessions = Sessions(session_s=SESSION_S)
    one, other = Session(sessions, b"AAAAAAAA"), Session(sessions, b"AAAAAAAB")
    one.announce(0, 0, at_s=0)
    other.announce(1_000, 1_000, at_s=0)
    assert one.announce(5, 5, at_s=9) == (5, 5, False)
    second = TruncatedInfoHash(b"t" * 20)
    for info_hash in (SWARM, second):
        sessions.advance(owner(2), request(0, 0, info_hash=info_hash), 0, roaming=True)
    assert len(sessions) == 4
    moved = sessions.advance(owner(2), request(7, 0, info_hash=second), 9, roaming=True)
    assert moved == Progress(7, 0, False, 9, False)


def test_what_is_left_is_remembered_in_units_of_16_kib() -> None:
    sessions = Sessions(session_s=SESSION_S)
    sessions.advance(owner(), request(0, 0, left=100_000, key=b"k"), 0, roaming=False)
    assert sessions.left_bytes(owner(), SWARM, b"\0\0\0\0\0\0\0k", roaming=False) == 7 * 16_384
    assert sessions.left_bytes(owner(), SWARM, b"other", roaming=False) is None
    sessions.advance(owner(), request(0, 0, left=2**63 - 1, key=b"k"), 0, roaming=False)
    assert sessions.left_bytes(owner(), SWARM, b"k", roaming=False) == (2**32 - 1) << 14


def test_old_sessions_are_forgotten_and_their_buckets_written_once_more() -> None:
    sessions = Sessions(session_s=SESSION_S)
    for number in range(50):
        sessions.advance(owner(number), request(0, 0), number * 100, roaming=False)
    sessions.take_dirty()
    for bucket in sessions.buckets():
        sessions.prune(bucket, 2_500 + SESSION_S)
    assert len(sessions) == 25
    assert sum(not records for _, records in sessions.take_dirty()) >= 20
    assert sessions.take_dirty() == []


@given(st.integers(), st.binary(max_size=120))
def test_only_whole_buckets_are_restored(bucket: int, records: bytes) -> None:
    sessions = Sessions(session_s=SESSION_S)
    fits = 0 <= bucket < 2**14 and len(records) % 35 == 0
    if fits:
        sessions.restore(bucket, records)
        assert len(sessions) == len(records) // 35
    else:
        with pytest.raises(ValueError, match="not a bucket"):
            sessions.restore(bucket, records)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.integers(0, 2),
            st.integers(0, 1_000),
            st.sampled_from([Event.REGULAR, Event.COMPLETED, Event.STOPPED]),
        ),
        max_size=25,
    )
)
def test_however_it_is_interleaved_restored_or_told_twice_every_byte_counts_once(
    steps: list[tuple[int, int, int, Event]],
) -> None:
    """Many clients move forward; every announce comes twice, with a restart of ours in between."""
    sessions = Sessions(session_s=SESSION_S)
    truth: dict[tuple[int, int], int] = {}
    base: dict[tuple[int, int], int] = {}
    counted = expected = 0
    for number, client, moved, event in steps:
        who = (number, client)
        truth[who] = truth.get(who, 0) + moved
        if who in base:
            expected += truth[who] - base[who]
        if event is Event.STOPPED:
            base.pop(who, None)
        else:
            base[who] = truth[who]
        for _ in range(2):
            asked = request(truth[who], truth[who], event, key=b"%08d" % client)
            progress = sessions.advance(owner(number), asked, 1_000, roaming=False)
            if progress is not None:
                assert progress.uploaded_bytes == progress.downloaded_bytes >= 0
                counted += progress.uploaded_bytes
        if moved % 3 == 0:
            restored = Sessions(session_s=SESSION_S)
            sessions.mark_dirty(sessions.buckets())
            for bucket, kept in sessions.take_dirty():
                restored.restore(bucket, kept)
            sessions = restored
    assert counted == expected
