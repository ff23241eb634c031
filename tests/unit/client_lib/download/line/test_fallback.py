import math

from hypothesis import given
from hypothesis import strategies as st

from client_lib.download.line.fallback import Company, FallbackPolicy, FallbackTuning

SLOW, FAST = 100_000.0, 2_000_000.0
NEVER_MIND = 0.0


def run(
    policy: FallbackPolicy,
    begin_s: float,
    seconds: float,
    swarm: float,
    web_seed: float,
    company: Company = Company.PEERS,
) -> float | None:
    """Feed steady rates, the web seed's only while it is joined; when `joined` changed."""
    before = policy.joined
    for step in range(int(2 * seconds)):
        now_s = begin_s + step / 2
        if policy.update(now_s, swarm, web_seed if policy.joined else 0.0, company) is not before:
            return now_s
    return None


def test_a_fast_swarm_is_left_alone() -> None:
    assert run(FallbackPolicy(), 0, 3_600, FAST, FAST) is None


def test_a_swarm_that_is_slow_for_five_seconds_is_helped() -> None:
    policy = FallbackPolicy()
    assert run(policy, 0, 4.5, SLOW, FAST) is None
    assert run(policy, 4.5, 10, FAST, FAST) is None  # it came just in time
    assert run(policy, 20, 10, SLOW, FAST) == 25
    assert policy.joined


def test_nothing_at_all_is_slow() -> None:
    assert run(FallbackPolicy(), 0, 10, 0, FAST) == 5


def test_where_nobody_is_known_nothing_is_waited_for() -> None:
    assert run(FallbackPolicy(), 3, 10, 0, FAST, Company.NOBODY_KNOWN) == 3


def test_where_nobody_can_be_reached_two_seconds_are_waited() -> None:
    assert run(FallbackPolicy(), 3, 10, 0, FAST, Company.NOBODY_MET) == 5


def test_whoever_wants_no_web_seed_gets_none_even_alone() -> None:
    policy = FallbackPolicy(FallbackTuning(web_seed_below_bytes_s=0))
    assert run(policy, 0, 60, 0, FAST, Company.NOBODY_KNOWN) is None


def test_the_web_seed_is_left_when_the_swarm_alone_is_twice_as_fast_as_needed() -> None:
    policy = FallbackPolicy()
    run(policy, 0, 10, 0, FAST)
    assert run(policy, 10, 60, 999_000, FAST) is None  # hysteresis
    assert run(policy, 70, 9.5, FAST, FAST) is None
    assert run(policy, 80, 1, 0, FAST) is None  # it was not for ten seconds
    assert run(policy, 90, 60, FAST, FAST) == 100
    assert not policy.joined


def test_a_web_seed_that_adds_nothing_is_left_and_tried_again_later_and_later() -> None:
    policy = FallbackPolicy()
    times = []
    now_s = 0.0
    for _ in range(6):
        joined_s = run(policy, now_s, 10_000, 400_000, 0)
        assert joined_s is not None
        times.append(joined_s - now_s)
        left_s = run(policy, joined_s, 10_000, 200_000, 200_000)  # the line is full
        assert left_s is not None
        assert left_s - joined_s == 15
        now_s = left_s
    assert times == sorted(times)
    assert times[-1] == 960 + 5


def test_a_web_seed_that_helps_stays() -> None:
    policy = FallbackPolicy()
    run(policy, 0, 10, SLOW, FAST)
    assert run(policy, 10, 3_600, SLOW, FAST) is None
    assert run(policy, 4_000, 3_600, SLOW, NEVER_MIND) is None  # a pause of its own is no reason


def test_a_swarm_that_breaks_down_is_helped_at_once_in_spite_of_an_earlier_trial() -> None:
    policy = FallbackPolicy()
    run(policy, 0, 10, 400_000, 0)
    assert run(policy, 5, 60, 200_000, 200_000) == 20
    assert run(policy, 20, 3, 0, FAST) is None
    assert run(policy, 23, 20, 400_000, FAST) is None  # it was a moment's
    assert run(policy, 43, 10, 0, FAST) == 48


def test_while_nothing_comes_it_is_joined_anew_at_once_and_then_later_and_later() -> None:
    policy, now_s = FallbackPolicy(), 0.0
    changes = []
    for _ in range(6):
        changed_s = run(policy, now_s, 120, 0, 0, Company.NOBODY_KNOWN)
        assert changed_s is not None
        changes.append(changed_s)
        now_s = changed_s + 0.5
    assert changes == [0, 15.5, 16, 31.5, 46.5, 62]
    assert run(policy, now_s, 120, 0, SLOW, Company.NOBODY_KNOWN) == 92
    assert run(policy, 92.5, 300, 0, SLOW, Company.NOBODY_KNOWN) is None


def test_zero_is_never() -> None:
    policy = FallbackPolicy(FallbackTuning(web_seed_below_bytes_s=0))
    assert run(policy, 0, 3_600, 0, 0) is None


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1e9), st.floats(0, 1e9)), max_size=200))
def test_it_never_joins_within_five_seconds_of_a_fast_swarm(
    moments: list[tuple[float, float, float]],
) -> None:
    policy, now_s, fast_at_s = FallbackPolicy(), 0.0, -math.inf
    for step_s, swarm, web_seed in moments:
        now_s += step_s
        before = policy.joined
        after = policy.update(now_s, swarm, web_seed, Company.PEERS)
        if swarm >= 500_000:
            fast_at_s = now_s
        if after and not before:
            assert now_s - fast_at_s >= 5
