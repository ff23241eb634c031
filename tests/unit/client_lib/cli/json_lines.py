"""Lines that the commands printed, held against the documented schema, strictly."""

import functools
import json
from typing import Any

import jsonschema_rs

from client_lib.cli.answers import ANSWERS
from tests.architecture.documents import ROOT


@functools.cache
def _documented() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        (ROOT / "docs" / "protocol" / "command-line.json").read_text()
    )
    # Readers must ignore what they do not know; our own lines have nothing that is not written.
    for component in loaded["$defs"].values():
        if component.get("type") == "object":
            component["additionalProperties"] = False
    return loaded


def require_event(line: object) -> None:
    """Assert that a line is one of `get` and `seed`."""
    _require(_documented()["events"], line)


def require_answer(command: str, line: object) -> None:
    """Assert that a line is the answer of a command."""
    assert command in ANSWERS
    _require(_documented()["answers"][command], line)


def _require(shape: dict[str, Any], line: object) -> None:
    whole = {**shape, "$defs": _documented()["$defs"]}
    problems = [one.message for one in jsonschema_rs.Draft202012Validator(whole).iter_errors(line)]
    assert not problems, f"{line}: {problems[0]}"
