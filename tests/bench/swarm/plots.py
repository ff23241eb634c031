"""Time against offload, one picture for a scenario: small SVG that any browser shows."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tests.bench.swarm.outcome import Outcome
from tests.bench.swarm.scenario import (
    ALL_VARIANTS,
    BALANCED,
    FAST,
    NGINX,
    PLAIN,
    THRIFTY,
    WEB_SEED,
    Scenario,
)

_WIDTH, _HEIGHT = 760, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 500, 50, 310
_KEY, _KEY_STEP = 530, 24
_BOUND = "#b2182b"
_COLOURS = {
    THRIFTY: "#1b7837",
    BALANCED: "#5aae61",
    FAST: "#a6611a",
    PLAIN: "#762a83",
    NGINX: "#444444",
    WEB_SEED: "#bf812d",
}
_DASHES = ("6 4", "2 3")
_TICKS = 5


def draw(scenario: Scenario, outcomes: Mapping[str, Sequence[Outcome]], folder: Path) -> Path:
    """Write the picture; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"swarm-{scenario.name.replace(' ', '-')}.svg"
    path.write_text("\n".join(_picture(scenario, outcomes)) + "\n")
    return path


def _picture(scenario: Scenario, outcomes: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    points = {
        variant: (
            statistics.median(run.offload(scenario) for run in runs),
            statistics.median(run.last_s for run in runs),
        )
        for variant in ALL_VARIANTS
        if (runs := outcomes.get(variant))
    }
    bounds = [("nobody can be faster", scenario.fastest_s)]
    one_copy_s = scenario.fastest_with_one_copy_s
    if one_copy_s is not None and one_copy_s > scenario.fastest_s:
        bounds.append(("with one copy", one_copy_s))
    # A logarithmic axis: nginx takes four times as long, and the others differ by a tenth.
    moments_s = [*(moment_s for _, moment_s in bounds), *(end_s for _, end_s in points.values())]
    lowest, highest = math.log(min(moments_s) * 0.9), math.log(max(moments_s) * 1.1)

    def x(offload: float) -> float:
        return _LEFT + max(0.0, min(1.0, offload)) * (_RIGHT - _LEFT)

    def y(moment_s: float) -> float:
        return _BOTTOM - (math.log(moment_s) - lowest) / (highest - lowest) * (_BOTTOM - _TOP)

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
    yield _text(_LEFT, 28, f"{scenario.name}: last finisher (s) against offload", size=15)
    for tick in range(_TICKS + 1):
        part = tick / _TICKS
        yield _line(x(part), _BOTTOM, x(part), _TOP, "#e5e5e5")
        yield _text(x(part), _BOTTOM + 18, f"{part:.0%}", anchor="middle")
        moment_s = math.exp(lowest + part * (highest - lowest))
        yield _line(_LEFT, y(moment_s), _RIGHT, y(moment_s), "#e5e5e5")
        yield _text(_LEFT - 8, y(moment_s) + 4, f"{moment_s:.0f}", anchor="end")
    yield _text((_LEFT + _RIGHT) / 2, _HEIGHT - 12, "offload", anchor="middle")
    key_y = _TOP + 10
    for variant, (offload, end_s) in points.items():
        colour = _COLOURS[variant]
        yield f'<circle cx="{x(offload):.1f}" cy="{y(end_s):.1f}" r="6" fill="{colour}"/>'
        yield f'<circle cx="{_KEY}" cy="{key_y}" r="6" fill="{colour}"/>'
        yield _text(_KEY + 14, key_y + 4, f"{variant}: {end_s:.1f} s, {offload:.0%}")
        key_y += _KEY_STEP
    for number, (label, bound_s) in enumerate(bounds):
        dashes = _DASHES[number]
        yield _line(_LEFT, y(bound_s), _RIGHT, y(bound_s), _BOUND, dashes)
        yield _line(_KEY - 8, key_y, _KEY + 8, key_y, _BOUND, dashes)
        yield _text(_KEY + 14, key_y + 4, f"{label}: {bound_s:.1f} s")
        key_y += _KEY_STEP
    yield "</svg>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "none") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        f' stroke="{colour}" stroke-dasharray="{dashes}"/>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 12,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        f' fill="#222222" font-size="{size}">{escape(words)}</text>'
    )
