"""The benchmark's own arithmetic: bounds, and what a run came to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.wire.release import TorrentName
from tests.bench.swarm.outcome import Outcome, Report, figures, slowest_bytes_s
from tests.bench.swarm.scenario import (
    NGINX,
    PLAIN,
    SCENARIOS,
    THRIFTY,
    Buyer,
    Release,
    Scenario,
    bytes_s,
)

_LINE = st.floats(0.5, 100)


def crowd(seeder: float, lines: list[float], size_bytes: int = 1_000_000) -> Scenario:
    release = Release(TorrentName("rel-0001.mp3-320"), size_bytes)
    return Scenario("crowd", seeder, [release], [Buyer(0, rate) for rate in lines], 60)


@given(_LINE, st.lists(_LINE, min_size=2, max_size=20))
def test_one_release_and_one_start_give_the_bound_of_kumar_and_ross(
    seeder: float, lines: list[float]
) -> None:
    scenario = crowd(seeder, lines)
    size, count = scenario.releases[0].size_bytes, len(lines)
    whole = bytes_s(seeder) + sum(map(bytes_s, lines))
    assert scenario.fastest_s == pytest.approx(max(size / bytes_s(seeder), count * size / whole))


@given(_LINE, st.lists(st.tuples(_LINE, st.floats(0, 100)), min_size=1, max_size=20))
def test_nobody_is_complete_before_the_bytes_can_have_been_carried(
    seeder: float, buyers: list[tuple[float, float]]
) -> None:
    release = Release(TorrentName("rel-0001.mp3-320"), 10_000_000)
    scenario = Scenario(
        "trickle", seeder, [release], [Buyer(0, *buyer) for buyer in buyers], deadline_s=60
    )
    bound_s = scenario.fastest_s
    givers = buyers if len(buyers) > 1 else []
    carried = bytes_s(seeder) * bound_s
    carried += sum(bytes_s(rate) * max(0.0, bound_s - arrives_s) for rate, arrives_s in givers)
    assert carried >= scenario.delivered_bytes * (1 - 1e-9)
    assert bound_s > max(arrives_s for _, arrives_s in buyers)


def test_flash_crowd_has_the_bounds_of_the_literature() -> None:
    scenario = SCENARIOS["flash crowd"]
    assert scenario.fastest_s == pytest.approx(53.7, abs=0.05)
    assert scenario.fastest_with_one_copy_s == pytest.approx(58.7, abs=0.05)


def test_who_is_alone_with_a_release_can_give_to_nobody() -> None:
    two = [Release(TorrentName(f"rel-{n}.mp3-320"), 1_000_000) for n in (1, 2)]
    apart = Scenario("apart", 8, two, [Buyer(0, 8), Buyer(1, 8)], 60)
    assert apart.fastest_s == pytest.approx(2_000_000 / bytes_s(8))


def report(got: list[tuple[float, int]]) -> Report:
    samples = [(moment_s, size_bytes, 0) for moment_s, size_bytes in got]
    return Report(samples=samples, finished_s=got[-1][0], bytes=got[-1][1])


def test_a_slow_customer_is_seen_only_while_the_seeder_has_budget_to_spare() -> None:
    stalled = report([(0, 0), (10, 1_000), (20, 1_001_000)])
    # The first window with budget to spare begins after two seconds: 8 s busy of 10.
    busy_at_first = [(0.0, 0), (10.0, 10_000_000), (20.0, 10_000_000)]
    idle_at_first = [(0.0, 0), (10.0, 0), (20.0, 10_000_000)]
    assert slowest_bytes_s([(0, stalled)], busy_at_first, 1e6) == pytest.approx(20_080)
    assert slowest_bytes_s([(0, stalled)], idle_at_first, 1e6) == pytest.approx(100)


def test_no_budget_to_spare_means_no_slowest_customer() -> None:
    slow = report([(0, 0), (10, 1_000)])
    assert slowest_bytes_s([(0, slow)], [(0.0, 0), (10.0, 10_000_000)], 1e6) is None


def test_figures_compare_with_plain_libtorrent_and_nginx_of_the_same_run() -> None:
    scenario = crowd(8, [8, 8])
    outcomes = {
        THRIFTY: [Outcome([1.0, 2.0], 1_000_000, 100_000.0)],
        PLAIN: [Outcome([2.0, 4.0], 2_000_000, None)],
        NGINX: [Outcome([8.0, 8.0], 2_000_000, None)],
    }
    told = {figure.name: figure for figure in figures(scenario, outcomes)}
    assert told["crowd, thrifty: last finisher"].ratio == 0.5
    assert told["crowd, thrifty: mean completion"].value == 1.5
    assert told["crowd, thrifty: sent by the seeder"].ratio == 0.5
    assert told["crowd, thrifty: last finisher against nginx"].value == 0.25
    assert told["crowd, thrifty: offload"].value == 0.5
    assert told["crowd, thrifty: slowest with budget to spare"].value == 100
    assert "crowd, plain libtorrent: slowest with budget to spare" not in told
