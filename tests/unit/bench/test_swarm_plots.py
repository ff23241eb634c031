"""Pictures of the benchmark are well-formed, and everything in them is within the frame."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.swarm.outcome import Outcome
from tests.bench.swarm.plots import draw
from tests.bench.swarm.scenario import SCENARIOS, VARIANTS


@pytest.mark.parametrize("name", SCENARIOS)
def test_picture_shows_every_variant_and_the_bound(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    outcomes = {
        variant: [Outcome([30.0 + number] * len(scenario.buyers), number * 10_000_000, None)]
        for number, variant in enumerate(VARIANTS)
    }
    path = draw(scenario, outcomes, tmp_path)
    picture = ET.fromstring(path.read_text())  # noqa: S314 - ours
    words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert set(VARIANTS) <= set(words)
    assert any(word and word.startswith("nobody can be faster") for word in words)
    for circle in picture.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 640
        assert 0 <= float(circle.attrib["cy"]) <= 400
