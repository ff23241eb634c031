"""What every benchmark leaves behind: a table on the terminal, and build/bench/NAME.json."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parents[2] / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, and the peer's (`against`) measured in the same run; `ratio` = value / against."""

    name: str
    value: float
    unit: str
    against: float | None = None
    ratio: float | None = None


def figure(name: str, runs: Sequence[float], unit: str, *, against: Sequence[float] = ()) -> Figure:
    """The median of the runs, and its ratio to the peer's."""
    value = statistics.median(runs)
    if not against:
        return Figure(name, round(value, 2), unit)
    peer = statistics.median(against)
    return Figure(name, round(value, 2), unit, round(peer, 2), round(value / peer, 3))


def machine() -> str:
    """What it ran on, in a line."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, {platform.system()} "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def publish(name: str, figures: Sequence[Figure], *, against: str, folder: Path = FOLDER) -> None:
    """Print the table and write the JSON file."""
    table = Table(title=f"{name} on {machine()}")
    for heading in ("figure", "median", "unit", against, "ratio"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for each in figures:
        peer = "" if each.against is None else f"{each.against:g}"
        ratio = "" if each.ratio is None else f"{each.ratio:g}"
        table.add_row(each.name, f"{each.value:g}", each.unit, peer, ratio)
    Console(width=110).print(table)
    folder.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "figures": [asdict(each) for each in figures]}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
