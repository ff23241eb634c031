"""How many albums at a time: against lines that behave in known ways."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.download.line.concurrency import (
    FEWEST,
    MOST_LARGE,
    MOST_SMALL,
    START,
    Concurrency,
    LineSample,
)


@dataclass
class Line:
    """A queue of equal albums on a line; each album starts after `latency_s`."""

    line_bytes_s: float
    album_bytes_s: float
    size_bytes: int
    latency_s: float
    count: int = 10_000

    def run(self, policy: Concurrency, seconds: float, step_s: float = 0.5) -> list[int]:
        """Targets over time; `received` and `done` are left on self."""
        now, self.received, self.done, targets = 0.0, 0.0, 0, []
        active: list[list[float]] = []
        waiting = self.count
        while now < seconds:
            while waiting and len(active) < policy.target:
                active.append([now + self.latency_s, float(self.size_bytes)])
                waiting -= 1
            flowing = [album for album in active if album[0] <= now]
            share = min(self.album_bytes_s, self.line_bytes_s / max(1, len(flowing)))
            for album in flowing:
                got = min(album[1], share * step_s)
                album[1] -= got
                self.received += got
            self.done += sum(album[1] <= 0 for album in active)
            active = [album for album in active if album[1] > 0]
            now += step_s
            policy.update(
                LineSample(
                    now_s=now,
                    received_bytes=int(self.received),
                    active=len(active),
                    waiting=waiting,
                    remaining_bytes=int(sum(album[1] for album in active)),
                    next_bytes=self.size_bytes,
                )
            )
            targets.append(policy.target)
        return targets


def test_a_line_that_one_album_fills_gets_few() -> None:
    line = Line(10e6, 10e6, 500_000_000, 0.5)
    targets = line.run(Concurrency(), 300)
    assert max(targets[60:]) <= START + 1
    assert min(targets) >= FEWEST


def test_a_line_that_needs_many_albums_gets_them() -> None:
    line = Line(60e6, 10e6, 500_000_000, 0.5)
    targets = line.run(Concurrency(), 120)
    assert max(targets) >= 6
    assert line.received > 0.7 * 60e6 * 120


def test_small_albums_come_many_at_a_time() -> None:
    line = Line(20e6, 20e6, 2_000_000, 1.0)
    targets = line.run(Concurrency(), 30)
    assert max(targets) > 12
    assert line.received > 0.7 * 20e6 * 30


def test_customers_own_number_is_obeyed() -> None:
    for number in (1, 7, 64):
        assert set(Line(20e6, 5e6, 1_000_000, 1.0).run(Concurrency(number), 20)) == {number}


@pytest.mark.parametrize("direction", [lambda n: n, lambda n: -n], ids=["forward", "back"])
def test_a_clock_or_count_that_goes_back_breaks_nothing(direction: Callable[[int], int]) -> None:
    policy = Concurrency()
    for n in range(100):
        step = direction(n)
        policy.update(LineSample(float(step), max(0, step), 3, 5, 10, 10))
        assert FEWEST <= policy.target <= MOST_SMALL


samples = st.lists(
    st.tuples(
        st.floats(0.01, 5.0),
        st.integers(0, 10**10),
        st.integers(0, 100),
        st.integers(0, 1000),
        st.integers(0, 10**12),
        st.integers(0, 10**10),
    ),
    max_size=60,
)


@given(samples)
def test_target_stays_in_bounds_whatever_comes(
    deltas: list[tuple[float, int, int, int, int, int]],
) -> None:
    policy, now, received = Concurrency(), 0.0, 0
    for passed, new, active, waiting, remaining, following in deltas:
        now, received = now + passed, received + new
        target = policy.update(LineSample(now, received, active, waiting, remaining, following))
        assert FEWEST <= target <= MOST_SMALL
        if not waiting:
            assert target <= MOST_LARGE
