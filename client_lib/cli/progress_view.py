"""What shows the progress of downloads, to people or to programs."""

from typing import Protocol

from client_lib.download import events
from client_lib.download.summary import JobSummary


class ProgressView(Protocol):
    """Shows events one after the other."""

    def show(self, event: events.Event) -> None:
        """Show one event."""

    def end(self, summary: JobSummary) -> None:
        """Show how it ended."""

    def close(self) -> None:
        """Leave the terminal tidy."""
