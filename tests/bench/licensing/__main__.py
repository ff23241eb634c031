"""`make bench-licensing`: the service on one core, the load on the other, TLS keep-alive.

Every figure is the median of `--runs` runs. Rounds alternate between what is measured and the
peer, so that both see the same machine. `--postgresql` measures on a server of its own, with
`fsync` on, as `drill-licensing` does.
"""

import argparse
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.bench.licensing.load import Exchange, Load, LoadGenerator, http_request
from tests.bench.licensing.till import CREATED, Till, open_till, serving
from tests.bench.report import Figure, figure, publish
from tests.postgres import postgres_server

CONCURRENCY = (1, 16, 64)
EXCHANGES = {1: 300, 16: 1_500, 64: 2_000}
OFFERED_PER_S = 100
OFFERED_EXCHANGES = 600
_PEER = (sys.executable, "-m", "tests.bench.licensing.peer")
_BODY = b'{"payment_token": "' + b"x" * 600 + b'"}'


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="make bench-licensing")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    chosen = parser.parse_args()
    if chosen.postgresql:
        with postgres_server(fast=False) as server:
            loads = _measure(chosen.runs, server.new_database())
    else:
        loads = _measure(chosen.runs, "")
    ledger = "postgresql" if chosen.postgresql else "sqlite"
    publish(f"licensing-{ledger}", _figures(loads), against="constant answer")


def _measure(runs: int, ledger: str) -> dict[str, list[Load]]:
    loads: dict[str, list[Load]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "licensing"
        with (
            open_till(root, ledger=ledger) as till,
            serving((*_PEER, str(root)), Path(folder) / "peer.log") as address,
        ):
            peer = Till(till.folder, address)
            _round(till, peer, defaultdict(list), random.Random(0))  # warms up; not counted
            for number in range(runs):
                _round(till, peer, loads, random.Random(number))
    return loads


def _round(till: Till, peer: Till, loads: dict[str, list[Load]], rng: random.Random) -> None:
    for devices in CONCURRENCY:
        count = EXCHANGES[devices]
        constant = [_constant()] * count
        for name, target, exchanges in (
            ("redemptions", till, till.redemptions(count)),
            ("certificates", till, till.certificates(count, devices)),
            ("constant", peer, constant),
        ):
            with target.load(devices) as generator:
                loads[f"{name} {devices}"].append(generator.closed_loop(exchanges))
    paced: list[tuple[str, Till, Callable[[int], list[Exchange]]]] = [
        ("redemptions", till, till.redemptions),
        ("constant", peer, lambda count: [_constant()] * count),
    ]
    for name, target, make in paced:
        exchanges = make(OFFERED_EXCHANGES)
        with target.load(64) as generator:
            loads[f"{name} offered"].append(_offered(generator, exchanges, rng))


def _offered(generator: LoadGenerator, exchanges: list[Exchange], rng: random.Random) -> Load:
    return generator.offered(exchanges, OFFERED_PER_S, rng)


def _constant() -> Exchange:
    return Exchange(http_request("POST", "/v1/constant", body=_BODY), CREATED)


def _figures(loads: dict[str, list[Load]]) -> list[Figure]:
    figures = []
    for what in ("redemptions", "certificates"):
        for devices in CONCURRENCY:
            runs, peers = loads[f"{what} {devices}"], loads[f"constant {devices}"]
            several = f"{devices} device{'s' if devices > 1 else ''}"
            figures += [
                figure(
                    f"{what}, {several}",
                    [run.per_second for run in runs],
                    "1/s",
                    against=[run.per_second for run in peers],
                ),
                *_latencies(f"{what}, {several}", runs, peers),
            ]
    offered = f"redemptions, {OFFERED_PER_S}/s offered"
    return figures + _latencies(offered, loads["redemptions offered"], loads["constant offered"])


def _latencies(name: str, runs: list[Load], peers: list[Load]) -> list[Figure]:
    return [
        figure(
            f"{name}: {label}",
            [run.latency_ms(quantile) for run in runs],
            "ms",
            against=[run.latency_ms(quantile) for run in peers],
        )
        for label, quantile in (("median", 0.5), ("p99", 0.99))
    ]


if __name__ == "__main__":
    main()
