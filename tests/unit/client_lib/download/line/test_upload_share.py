"""A share of a line that nobody has told the speed of."""

from collections.abc import Callable

from client_lib.download.line.upload_share import ShareTuning, UploadShare

TUNING = ShareTuning(share=0.8, rest_s=60)


def limits(line: Callable[[float], float], wanted: float, seconds: int) -> list[tuple[float, int]]:
    """Seconds of uploading: as much as wanted, the line carries and the limit allows."""
    policy, total, told = UploadShare(TUNING), 0, []
    for second in range(1, seconds + 1):
        total += int(min(line(second), wanted, policy.limit_bytes_s or wanted))
        told.append((float(second), policy.update(second, total)))
    return told


def test_a_share_of_what_the_line_carries_is_kept() -> None:
    told = limits(lambda _: 1_000_000, 10**9, 50)
    assert told[5][1] == 0  # it is looking
    assert {limit for second, limit in told if second > 20} == {800_000}


def test_a_line_that_nobody_presses_on_is_not_limited() -> None:
    assert {limit for _, limit in limits(lambda _: 10**6, 20_000, 300)} == {0}


def test_a_faster_line_is_found_out() -> None:
    told = limits(lambda second: 500_000 if second < 100 else 2_000_000, 10**9, 400)
    assert told[90][1] == 400_000
    assert told[-1][1] == 1_600_000


def test_a_slower_line_is_found_out() -> None:
    def line(second: float) -> float:
        return 1_000_000 if second < 50 else 750_000

    assert limits(line, 10**9, 400)[-1][1] == 600_000


def test_little_demand_does_not_wind_the_limit_down() -> None:
    policy = UploadShare(TUNING)
    total = 0
    for second in range(1, 600):
        wanted = 10**9 if second < 30 else 100_000
        total += int(min(1_000_000, wanted, policy.limit_bytes_s or wanted))
        policy.update(second, total)
    assert policy.limit_bytes_s == 800_000


def test_the_line_is_looked_at_ever_more_rarely() -> None:
    told = limits(lambda _: 1_000_000, 10**9, 3_600)
    looking = sum(1 for _, limit in told if limit == 0)
    assert looking < 120  # of an hour


def test_a_tiny_line_is_left_alone() -> None:
    assert {limit for _, limit in limits(lambda _: 35_000, 10**9, 60)} == {0, 32_000}
