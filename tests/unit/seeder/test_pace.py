"""The budget between swarms: weights hold, nobody starves, cancelled waiters take nothing."""

from collections import Counter

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from seeder.peers.pace import Flow, Pace

BLOCK = 1_000


async def sent_within(pace: Pace, flows: dict[str, Flow], seconds: float) -> Counter[str]:
    sent: Counter[str] = Counter()

    async def upload(name: str, flow: Flow) -> None:
        while True:
            await pace.take(BLOCK, flow)
            sent[name] += BLOCK
            await trio.lowlevel.checkpoint()

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for name, flow in flows.items():
                for _ in range(3):  # customers of one swarm
                    nursery.start_soon(upload, name, flow)
    return sent


async def test_line_is_shared_by_weight(autojump_clock: MockClock) -> None:
    flows = {"hot": Flow(weight=6.0), "pair": Flow(weight=2.0), "lone": Flow(weight=1.0)}
    sent = await sent_within(Pace(90_000), flows, 10.0)
    assert sum(sent.values()) == pytest.approx(900_000, rel=0.02)
    assert sent["hot"] == pytest.approx(600_000, rel=0.05)
    assert sent["pair"] == pytest.approx(200_000, rel=0.05)
    assert sent["lone"] == pytest.approx(100_000, rel=0.05)


async def test_newcomer_has_no_claim_on_the_past(autojump_clock: MockClock) -> None:
    pace, old, new = Pace(100_000), Flow(), Flow()
    await sent_within(pace, {"old": old}, 5.0)
    sent = await sent_within(pace, {"old": old, "new": new}, 5.0)
    assert sent["new"] == pytest.approx(sent["old"], rel=0.05)


async def test_another_weight_counts_from_now_on(autojump_clock: MockClock) -> None:
    pace, grown, other = Pace(100_000), Flow(), Flow()
    await sent_within(pace, {"grown": grown, "other": other}, 2.0)
    pace.weigh(grown, 1e6)
    sent = await sent_within(pace, {"grown": grown, "other": other}, 2.0)
    assert sent["other"] <= 2 * BLOCK
    pace.weigh(grown, 1.0)
    sent = await sent_within(pace, {"grown": grown, "other": other}, 2.0)
    assert sent["grown"] == pytest.approx(sent["other"], rel=0.05)


async def test_virtual_time_that_begins_anew_changes_nobody_s_part(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seeder.peers.pace._EPOCH", 10.0 * BLOCK)
    flows = {"heavy": Flow(weight=4.0), "light": Flow(weight=1.0)}
    sent = await sent_within(Pace(100_000), flows, 10.0)
    assert sent["heavy"] == pytest.approx(4 * sent["light"], rel=0.05)


async def test_without_a_limit_nobody_waits_and_there_is_spare(autojump_clock: MockClock) -> None:
    pace = Pace(0)
    with trio.fail_after(0.001):
        for _ in range(1_000):
            await pace.take(1 << 20, Flow())
    assert pace.spare


async def test_full_line_has_nothing_to_spare(autojump_clock: MockClock) -> None:
    pace = Pace(1_000)
    assert pace.spare
    await pace.take(500, Flow())
    assert not pace.spare
    await trio.sleep(1)
    assert pace.spare


async def test_cancelled_waiter_leaves_the_line_to_the_others(autojump_clock: MockClock) -> None:
    pace, flow = Pace(1_000), Flow()
    began_s = trio.current_time()
    await pace.take(1_000, flow)
    for limit_s in (0.1, 0.2, 0.3):  # the first of them sleeps, the others wait for their turn
        with trio.move_on_after(limit_s) as gave_up:
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(pace.take, 1_000, flow)
        assert gave_up.cancelled_caught
    await pace.take(1_000, flow)
    assert trio.current_time() - began_s == pytest.approx(1.0, abs=0.06)


@settings(max_examples=20, deadline=None)
@given(weights=st.lists(st.floats(0.1, 50), min_size=2, max_size=5))
def test_nobody_starves(weights: list[float]) -> None:
    async def main() -> None:
        flows = {str(n): Flow(weight=weight) for n, weight in enumerate(weights)}
        sent = await sent_within(Pace(200_000), flows, 5.0)
        for name, flow in flows.items():
            due = 1_000_000 * flow.weight / sum(weights)
            assert sent[name] >= 0.9 * due - 4 * BLOCK

    trio.run(main, clock=MockClock(autojump_threshold=0))
