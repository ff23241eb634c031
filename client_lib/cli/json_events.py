"""A download's events as JSON lines, for programs."""

from client_lib.cli.event_lines import event_line, summary_line
from client_lib.console import print_json
from client_lib.download import events
from client_lib.download.summary import JobSummary


class JsonLines:
    """One JSON object a line on standard output, shaped as `answers.py` says."""

    def show(self, event: events.Event) -> None:
        """Print it."""
        print_json(event_line(event))

    def end(self, summary: JobSummary) -> None:
        """Print how it ended."""
        print_json(summary_line(summary))

    def close(self) -> None:
        """Nothing to tidy."""
