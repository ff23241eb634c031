"""Events as JSON lines, for programs."""

import dataclasses
from pathlib import Path

import msgspec

from client_lib.console import print_json
from client_lib.download import events
from client_lib.download.summary import JobSummary


class JsonLines:
    """One JSON object a line on standard output: `event` is the event's name in kebab-case."""

    def show(self, event: events.Event) -> None:
        """Print it."""
        values = {
            field.name: _plain(getattr(event, field.name)) for field in dataclasses.fields(event)
        }
        name = "".join(f"-{c.lower()}" if c.isupper() else c for c in type(event).__name__)
        print_json({"event": name.lstrip("-"), **values})

    def end(self, summary: JobSummary) -> None:
        """Print how it ended, as `event` `summary`."""
        failed = [{"name": end.name, "error": _plain(end.error)} for end in summary.failed]
        print_json(
            {
                "event": "summary",
                "done": [end.name for end in summary.done],
                "failed": failed,
                "skipped": summary.skipped,
                "received_bytes": summary.received_bytes,
                "exit_code": summary.exit_code,
            }
        )

    def close(self) -> None:
        """Nothing to tidy."""


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Exception):
        return {"type": type(value).__name__, "message": str(value)}
    return msgspec.to_builtins(value)
