"""Time against offload, one picture for a scenario: small SVG that any browser shows."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tests.bench.swarm.outcome import Outcome
from tests.bench.swarm.scenario import BALANCED, FAST, NGINX, PLAIN, THRIFTY, Scenario

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 610, 50, 350
_COLOURS = {
    THRIFTY: "#1b7837",
    BALANCED: "#5aae61",
    FAST: "#a6611a",
    PLAIN: "#762a83",
    NGINX: "#444444",
}
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
        for variant, runs in outcomes.items()
        if runs
    }
    longest_s = max([scenario.fastest_s, *(end_s for _, end_s in points.values())]) * 1.1

    def x(offload: float) -> float:
        return _LEFT + max(0.0, min(1.0, offload)) * (_RIGHT - _LEFT)

    def y(moment_s: float) -> float:
        return _BOTTOM - moment_s / longest_s * (_BOTTOM - _TOP)

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
    yield _text(_LEFT, 24, f"{scenario.name}: last finisher (s) against offload", size=15)
    for tick in range(_TICKS + 1):
        part = tick / _TICKS
        yield _line(x(part), _BOTTOM, x(part), _TOP, "#e5e5e5")
        yield _text(x(part), _BOTTOM + 18, f"{part:.0%}", anchor="middle")
        yield _line(_LEFT, y(part * longest_s), _RIGHT, y(part * longest_s), "#e5e5e5")
        yield _text(_LEFT - 8, y(part * longest_s) + 4, f"{part * longest_s:.0f}", anchor="end")
    bounds = [("nobody can be faster", scenario.fastest_s)]
    one_copy_s = scenario.fastest_with_one_copy_s
    if one_copy_s is not None and one_copy_s > scenario.fastest_s:
        bounds.append(("nobody can with one copy", one_copy_s))
    for number, (label, bound_s) in enumerate(bounds):
        yield _line(_LEFT, y(bound_s), _RIGHT, y(bound_s), "#b2182b", dashed=True)
        below = 14 if number == 0 else -5
        yield _text(_LEFT + 6, y(bound_s) + below, f"{label}: {bound_s:.1f} s", colour="#b2182b")
    # From the right: labels of neighbours go above and below in turn.
    for number, (variant, (offload, end_s)) in enumerate(
        sorted(points.items(), key=lambda point: point[1])
    ):
        colour = _COLOURS[variant]
        yield f'<circle cx="{x(offload):.1f}" cy="{y(end_s):.1f}" r="6" fill="{colour}"/>'
        anchor = "end" if offload > 0.5 else "start"
        beside = -10 if offload > 0.5 else 10
        rise = -10 if number % 2 else 20
        yield _text(x(offload) + beside, y(end_s) + rise, variant, anchor=anchor, colour=colour)
    yield _text((_LEFT + _RIGHT) / 2, _HEIGHT - 12, "offload", anchor="middle")
    yield "</svg>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="6 4"' if dashed else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    colour: str = "#222222",
    size: int = 12,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
        f' font-size="{size}">{escape(words)}</text>'
    )
