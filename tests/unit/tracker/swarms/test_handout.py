import random

from hypothesis import given
from hypothesis import strategies as st

from tracker.swarms.handout import Mix, Pace, handout

mixes = st.builds(Mix, *[st.integers(0, 300)] * 3)
wants = st.integers(0, 200)


@given(mixes, mixes, wants, st.booleans(), st.booleans())
def test_nobody_gets_more_than_wanted_or_than_there_are(
    own: Mix, other: Mix, want: int, asker_complete: bool, scarce: bool
) -> None:
    shares = handout(own, other, want, asker_complete=asker_complete, scarce=scarce)
    assert sum(share.total for share in shares) <= want
    for share, there in zip(shares, (own, other), strict=True):
        assert all(0 <= given <= have for given, have in zip(share, there, strict=True))


@given(mixes, mixes, wants, st.booleans())
def test_who_is_complete_is_told_of_leechers_only(
    own: Mix, other: Mix, want: int, scarce: bool
) -> None:
    shares = handout(own, other, want, asker_complete=True, scarce=scarce)
    assert all(share.complete == share.central == 0 for share in shares)
    assert sum(share.leechers for share in shares) == min(want, own.leechers + other.leechers)


@given(mixes, mixes, st.integers(1, 200))
def test_a_leecher_gets_a_central_seeder_while_copies_are_scarce(
    own: Mix, other: Mix, want: int
) -> None:
    shares = handout(own, other, want, asker_complete=False, scarce=True)
    if own.central or other.central:
        assert sum(share.central for share in shares) >= 1


@given(mixes, mixes, wants, st.booleans())
def test_no_place_stays_empty_that_a_leecher_could_use(
    own: Mix, other: Mix, want: int, scarce: bool
) -> None:
    shares = handout(own, other, want, asker_complete=False, scarce=scarce)
    assert sum(share.total for share in shares) == min(want, own.total + other.total)


def test_customers_carry_the_crowd_once_there_are_copies() -> None:
    crowd = Mix(leechers=500, complete=500, central=10)
    (few, _), (many, _) = (
        handout(crowd, Mix(), 50, asker_complete=False, scarce=scarce) for scarce in (True, False)
    )
    assert few == Mix(leechers=22, complete=22, central=6)
    assert many == Mix(leechers=25, complete=25, central=0)


def test_the_own_address_family_comes_first() -> None:
    own, other = handout(Mix(30, 10, 1), Mix(30, 10, 0), 50, asker_complete=False, scarce=False)
    assert own == Mix(30, 10, 1)
    assert other.total == 9


def test_young_and_small_swarms_announce_often_and_idle_ones_seldom() -> None:
    pace, rng = Pace(jitter=0.0), random.Random(1)

    def interval(peers: int, leeching_since_s: float | None, now_s: float = 10_000) -> int:
        return pace.interval(peers, leeching_since_s, now_s, rng)

    assert interval(1000, 9_500) == 30  # young
    assert interval(1000, 9_400) == 1800
    assert interval(8, 0) == 30  # few
    assert interval(9, 0) == 1800
    assert interval(1, None) == 1800  # one idle seeder, as most swarms are
    assert pace.min_interval(30) == 30
    assert pace.min_interval(1800) == 300


@given(st.randoms(use_true_random=False))
def test_intervals_vary_by_the_jitter_and_no_more(rng: random.Random) -> None:
    interval = Pace().interval(100, None, 0, rng)
    assert 1620 <= interval <= 1980


def test_a_peer_lives_for_two_missed_announces_at_libtorrent_s_own_pace() -> None:
    assert Pace.lifetime(1800) >= 2 * 1800
    assert Pace.lifetime(30) >= 2 * 300  # libtorrent never comes back before 300 s
