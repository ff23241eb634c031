"""Pictures of the benchmark are well-formed, and everything in them is within the frame."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.swarm.outcome import Outcome
from tests.bench.swarm.plots import draw
from tests.bench.swarm.scenario import SCENARIOS, VARIANTS

_SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_picture_shows_every_variant_and_the_bound(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    outcomes = {
        variant: [Outcome([30.0 + number] * len(scenario.buyers), number * 10_000_000, None)]
        for number, variant in enumerate(VARIANTS)
    }
    path = draw(scenario, outcomes, tmp_path)
    picture = ET.fromstring(path.read_text())  # noqa: S314 - ours
    words = {(element.text or "").partition(":")[0] for element in picture.iter(f"{_SVG}text")}
    assert {*VARIANTS, name, "nobody can be faster"} <= words
    circles = list(picture.iter(f"{_SVG}circle"))
    assert len(circles) == 2 * len(VARIANTS)  # the point, and in the key
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for circle in circles:
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= height
