"""Lines of `--json` are what their JSON Schema says, which is the one in the documents."""

import datetime as dt
import json
import typing
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from client_lib.cli.answers import ANSWERS
from client_lib.cli.app import COMMANDS, QUEUE_COMMANDS
from client_lib.cli.event_lines import EVENTS, event_line, event_name, summary_line
from client_lib.cli.schema import schema
from client_lib.download import events
from client_lib.download.summary import JobSummary
from client_lib.errors import DownloadError, LicenceRevoked
from client_lib.wire.licence import licence_id_from
from client_lib.wire.release import TorrentName
from tests.architecture.documents import ROOT, blocks
from tests.unit.client_lib.cli.json_lines import require_answer, require_event

DOCUMENT = ROOT / "docs" / "protocol" / "command-line.md"
STREAMS = {"get", "seed"}
SILENT = {"queue pause", "queue resume", "queue move", "queue remove"}
VALUES: dict[object, object] = {
    int: 1,
    int | None: 1,
    float: 0.5,
    bool: True,
    str: "text",
    Path: Path("/music/Artist"),
    Exception: DownloadError("rel-1.flac: nothing arrived"),
    dt.datetime: dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    events.StallReason: events.StallReason.NO_PEERS,
    events.WarningKind: events.WarningKind.SPACE,
}
ID, NAME = licence_id_from(bytes(16)), TorrentName("rel-0001.flac-16-44")


def any_of(kind: type) -> Any:  # noqa: ANN401
    hints = typing.get_type_hints(kind)
    values = {
        name: {"licence_id": ID, "name": NAME}.get(name) or VALUES[hint]
        for name, hint in hints.items()
    }
    return kind(**values)


def test_the_document_is_the_schema() -> None:
    written = json.loads((ROOT / "docs" / "protocol" / "command-line.json").read_text())
    again = "python -m client_lib.cli.schema > docs/protocol/command-line.json"
    assert written == json.loads(msgspec.json.encode(schema())), f"make it again: {again}"
    jsonschema_rs.meta.validate(written)


@pytest.mark.parametrize("kind", EVENTS, ids=event_name)
def test_every_event_fits(kind: type) -> None:
    line = json.loads(msgspec.json.encode(event_line(any_of(kind))))
    assert line["event"] == event_name(kind)
    require_event(line)


def test_a_summary_fits() -> None:
    failed = events.Failed(licence_id=ID, name=NAME, error=LicenceRevoked("revoked"))
    summary = JobSummary(done=(any_of(events.Finished),), failed=(failed,), skipped=(NAME,))
    line = json.loads(msgspec.json.encode(summary_line(summary)))
    require_event(line)
    assert line["failed"][0]["error"] == {"type": "LicenceRevoked", "message": "revoked"}
    assert line["exit_code"] == 3


def test_what_is_not_documented_does_not_fit() -> None:
    line = json.loads(msgspec.json.encode(event_line(any_of(events.Queued))))
    for wrong in (line | {"more": 1}, line | {"total_bytes": "1"}, line | {"event": "started"}):
        with pytest.raises(AssertionError):
            require_event(wrong)


def test_every_command_has_an_answer() -> None:
    commands = COMMANDS.keys() | {f"queue {name}" for name in QUEUE_COMMANDS}
    assert commands == ANSWERS.keys() | STREAMS | SILENT


def test_the_document_names_every_event_and_command() -> None:
    text = DOCUMENT.read_text()
    for name in [*map(event_name, EVENTS), "summary", *ANSWERS, *STREAMS]:
        assert f"`{name}`" in text, name


def test_examples_of_the_document_fit() -> None:
    shown = [block for block in blocks(DOCUMENT) if block.language in ("json", "jsonl")]
    assert {block.words for block in shown} >= {("event",), ("list",), ("verify",)}
    for block in shown:
        for line in map(json.loads, block.text.splitlines()):
            match block.words:
                case ("event",):
                    require_event(line)
                case words:
                    require_answer(" ".join(words), line)
