"""`make bench-swarm`: swarms on lines of their own, beside bounds, plain libtorrent and nginx.

Every peer has a network namespace with a shaped upload line, an address and a process. Outcomes are
kept in build/bench/swarm-outcomes.json: `--add` adds to them, so that a long benchmark can be run
in parts, and `--runs 0 --plots` draws what is there. `--traces` keeps what every process noted each
second, to see where the time goes.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from tests.bench import report
from tests.bench.swarm.network import open_lines
from tests.bench.swarm.outcome import Outcome, figures
from tests.bench.swarm.play import play
from tests.bench.swarm.plots import draw
from tests.bench.swarm.scenario import ALL_VARIANTS, PLAIN, SCENARIOS, SMOKE, Scenario
from tests.bench.swarm.stage import Stage

_ROOT = Path(__file__).parents[3]
_PLOTS = _ROOT / "docs" / "benchmarks"
_NEEDED = ("ip", "tc", "setpriv", "nginx", "curl")
_KNOWN = {**SCENARIOS, SMOKE.name: SMOKE}
Outcomes = dict[str, dict[str, list[Outcome]]]
"""By scenario and variant."""


def main() -> None:
    """Measure and publish."""
    chosen = _arguments()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end_once)
    os.chdir(_ROOT)
    kept = chosen.into / "swarm-outcomes.json"
    outcomes = _read(kept) if chosen.add or chosen.runs == 0 else defaultdict(dict)
    if chosen.runs:
        for name in chosen.scenario or SCENARIOS:
            _measure(_KNOWN[name], chosen, outcomes[name])
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(outcomes, default=asdict, indent=1) + "\n")
    if not outcomes:
        raise SystemExit(f"nothing to tell: {kept} has no outcomes, and --runs is 0")
    told = [
        line
        for name, scenario in _KNOWN.items()
        if name in outcomes
        for line in figures(scenario, outcomes[name])
    ]
    report.publish("swarm", told, against=PLAIN, folder=chosen.into)
    if chosen.plots:
        for name in outcomes:
            draw(_KNOWN[name], outcomes[name], chosen.plots)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-swarm")
    parser.add_argument("--scenario", action="append", choices=list(_KNOWN), help="default: all")
    parser.add_argument(
        "--variant",
        action="append",
        choices=ALL_VARIANTS,
        help="default: all that the scenario has",
    )
    parser.add_argument("--runs", type=int, default=1, help="0: only tell what was measured")
    parser.add_argument("--add", action="store_true", help="to the outcomes of earlier runs")
    parser.add_argument(
        "--plots", type=Path, nargs="?", const=_PLOTS, help="write them, to docs/benchmarks"
    )
    parser.add_argument("--traces", action="store_true", help="keep them below the figures")
    parser.add_argument("--into", type=Path, default=report.FOLDER, help="folder of the figures")
    chosen = parser.parse_args()
    chosen.into = chosen.into.absolute()
    chosen.plots = chosen.plots and chosen.plots.absolute()
    if chosen.runs < 0:
        parser.error("--runs is 0 or more")
    absent = [tool for tool in _NEEDED if chosen.runs and shutil.which(tool) is None]
    if absent:
        parser.error(f"{', '.join(absent)} not found: bench-swarm runs {', '.join(_NEEDED)}")
    return chosen


def _measure(
    scenario: Scenario, chosen: argparse.Namespace, outcomes: dict[str, list[Outcome]]
) -> None:
    """Play all variants in turn, so many times."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-swarm-") as folder,
        open_lines(scenario) as lines,
    ):
        stage = Stage(Path(folder), scenario)
        for number in range(1, chosen.runs + 1):
            for variant in scenario.variants:
                if chosen.variant and variant not in chosen.variant:
                    continue
                sys.stderr.write(f"{scenario.name}, {variant}: begins\n")
                outcome = play(stage, lines, variant)
                outcomes.setdefault(variant, []).append(outcome)
                sys.stderr.write(
                    f"{scenario.name}, {variant}: {outcome.last_s:.1f} s,"
                    f" {outcome.seeder_bytes / 1e6:.1f} MB from the seeder\n"
                )
                if chosen.traces:
                    traces = chosen.into / "traces" / f"{scenario.name}, {variant}, {number}"
                    traces.mkdir(parents=True, exist_ok=True)
                    for report_file in stage.reports():
                        shutil.copy(report_file, traces)


def _read(kept: Path) -> Outcomes:
    found: Outcomes = defaultdict(dict)
    if kept.exists():
        document: Mapping[str, Mapping[str, list[dict[str, object]]]] = json.loads(kept.read_text())
        for name, variants in document.items():
            for variant, runs in variants.items():
                found[name][variant] = [Outcome(**run) for run in runs]  # type: ignore[arg-type]
    return found


def _end_once(number: int, _: FrameType | None) -> None:
    """End, and be left alone while namespaces are removed."""
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(f"bench-swarm: ended by {signal.Signals(number).name}")


if __name__ == "__main__":
    main()
