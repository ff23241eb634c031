"""JSON Schema of what the commands print: `python -m client_lib.cli.schema`."""

import inspect
from pathlib import Path
from typing import Any

import msgspec

from client_lib.cli.answers import ANSWERS
from client_lib.cli.event_lines import EVENTS, ErrorSaid, Summary, event_name
from client_lib.console import print_text


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of every line.

    `$defs` has each event and `Summary`; `events` any line of `get` and `seed`; `answers` the one
    line of each other command.
    """
    lines: tuple[type, ...] = (*EVENTS, Summary)
    shapes, components = msgspec.json.schema_components(
        [*lines, *ANSWERS.values()],
        schema_hook=_text_schema,
        ref_template="#/$defs/{name}",
    )
    for kind in EVENTS:
        component = components[kind.__name__]
        component["properties"] = {"event": {"const": event_name(kind)}, **component["properties"]}
        component["required"] = ["event", *component["properties"].keys() - {"event"}]
        component["required"].sort(key=list(component["properties"]).index)
    for component in components.values():
        # What is added later must not break who reads now.
        component.pop("additionalProperties", None)
        component["description"] = inspect.cleandoc(component["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lines that `albumswarm --json` prints",
        "events": {"anyOf": list(shapes[: len(lines)])},
        "answers": dict(zip(ANSWERS, shapes[len(lines) :], strict=True)),
        "$defs": dict(sorted(components.items())),
    }


def _text_schema(kind: type) -> dict[str, Any]:
    """Schema of what msgspec does not know."""
    if issubclass(kind, Path):
        return {"type": "string"}
    if issubclass(kind, Exception):
        said: dict[str, Any] = msgspec.json.schema(ErrorSaid)["$defs"]["ErrorSaid"]
        return said
    raise NotImplementedError(kind)


if __name__ == "__main__":
    print_text(msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode())
