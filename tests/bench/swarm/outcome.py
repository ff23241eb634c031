"""What a run came to, and the figures of many. Pure."""

import bisect
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from tests.bench.report import Figure, figure
from tests.bench.swarm.scenario import ALL_VARIANTS, NGINX, PLAIN, Scenario

Samples = Sequence[Sequence[float]]
"""(seconds since the start, bytes until then, …), in order."""
_WINDOW_S = 10.0
"""Over which "a customer's rate" is meant: the policy itself looks at four seconds."""
_SPARE = 0.9
"""A seeder that sends less than this part of its line has budget to spare."""


class Report(TypedDict):
    """What a process leaves behind."""

    samples: Samples
    finished_s: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    `finished_s`: each customer's end, since the common start. `slowest_bytes_s`: the slowest that
    anybody was for ten seconds in which the seeder had budget to spare, None if it never had.
    `hub_share`: CPU of the process that delays, of one core. `customers_sent_bytes`: what left the
    customers' lines, headers and all; 0 where it is not known.
    """

    finished_s: Sequence[float]
    seeder_bytes: int
    slowest_bytes_s: float | None
    hub_share: float = 0.0
    customers_sent_bytes: int = 0

    @property
    def last_s(self) -> float:
        """When the last one was complete."""
        return max(self.finished_s)

    def mean_s(self, scenario: Scenario) -> float:
        """How long a customer took, on average."""
        arrivals = (buyer.arrives_s for buyer in scenario.buyers)
        times = zip(self.finished_s, arrivals, strict=True)
        return statistics.fmean(end_s - arrived_s for end_s, arrived_s in times)

    def payload_share(self, scenario: Scenario) -> float:
        """The part of what left the customers' lines that was an album's bytes."""
        return (scenario.delivered_bytes - self.seeder_bytes) / self.customers_sent_bytes

    def offload(self, scenario: Scenario) -> float:
        """The part of all bytes that customers carried."""
        return 1 - self.seeder_bytes / scenario.delivered_bytes


def slowest_bytes_s(
    customers: Sequence[tuple[float, Report]], seeder: Samples, line_bytes_s: float
) -> float | None:
    """The slowest ten seconds of any customer's download, of those with budget to spare.

    A download that is shorter counts as a whole. `customers` are (arrival, report).
    """
    slowest = math.inf
    for arrived_s, report in customers:
        end_s = report["finished_s"]
        for begin_s in _windows(arrived_s, end_s):
            until_s = min(begin_s + _WINDOW_S, end_s)
            length_s = until_s - begin_s
            sent = _at(seeder, until_s) - _at(seeder, begin_s)
            if length_s > 0 and sent < _SPARE * line_bytes_s * length_s:
                got = _at(report["samples"], until_s) - _at(report["samples"], begin_s)
                slowest = min(slowest, got / length_s)
    return None if math.isinf(slowest) else slowest


def _windows(arrived_s: float, end_s: float) -> Iterator[float]:
    yield arrived_s
    begin_s = arrived_s + 1
    while begin_s + _WINDOW_S <= end_s:
        yield begin_s
        begin_s += 1


def _at(samples: Samples, moment_s: float) -> float:
    """Bytes at a moment, between two samples."""
    after = bisect.bisect_left(samples, moment_s, key=lambda sample: sample[0])
    if after == 0:
        return samples[0][1] if samples and samples[0][0] <= moment_s else 0.0
    if after == len(samples):
        return samples[-1][1]
    (before_s, before), (after_s, later) = samples[after - 1][:2], samples[after][:2]
    return before + (later - before) * (moment_s - before_s) / (after_s - before_s)


def figures(scenario: Scenario, outcomes: Mapping[str, Sequence[Outcome]]) -> list[Figure]:
    """Everything that is told of a scenario: bounds first, then variant by variant."""

    def name(what: str, variant: str = "") -> str:
        return ", ".join(part for part in (scenario.name, variant) if part) + f": {what}"

    bound = "bound of Kumar and Ross" if scenario.simultaneous else "bound by capacity"
    if len(scenario.releases) > 1:
        bound = "bound by capacity"
    found = [Figure(name(bound), round(scenario.fastest_s, 1), "s")]
    one_copy_s = scenario.fastest_with_one_copy_s
    if one_copy_s is not None:
        found.append(Figure(name("bound with one copy"), round(one_copy_s, 1), "s"))
    plain = outcomes.get(PLAIN, ())
    nginx = outcomes.get(NGINX, ())
    for variant in ALL_VARIANTS:
        runs = outcomes.get(variant, ())
        if not runs:
            continue

        def add(
            what: str,
            values: Sequence[float],
            unit: str,
            against: Sequence[float] = (),
            variant: str = variant,
        ) -> None:
            found.append(figure(name(what, variant), values, unit, against=against))

        last = [run.last_s for run in runs]
        add("last finisher", last, "s", [run.last_s for run in plain])
        add("against the bound", [end_s / scenario.fastest_s for end_s in last], "x")
        if one_copy_s is not None:
            add("against the bound with one copy", [end_s / one_copy_s for end_s in last], "x")
        if nginx:
            of_nginx_s = statistics.median(run.last_s for run in nginx)
            add("last finisher against nginx", [end_s / of_nginx_s for end_s in last], "x")
        means = [run.mean_s(scenario) for run in runs]
        add("mean completion", means, "s", [run.mean_s(scenario) for run in plain])
        sent = [run.seeder_bytes / 1e6 for run in runs]
        add("sent by the seeder", sent, "MB", [run.seeder_bytes / 1e6 for run in plain])
        add("copies", [run.seeder_bytes / scenario.catalogue_bytes for run in runs], "x")
        add("offload", [run.offload(scenario) for run in runs], "")
        if variant != NGINX and all(run.customers_sent_bytes for run in runs):
            shares = [run.payload_share(scenario) for run in runs]
            add("payload, of what customers sent", shares, "")
        slowest = [run.slowest_bytes_s for run in runs if run.slowest_bytes_s is not None]
        if slowest:
            add("slowest with budget to spare", [rate / 1e3 for rate in slowest], "kB/s")
        if scenario.delay_ms:
            add("CPU of the delaying hub", [run.hub_share for run in runs], "cores")
    return found
