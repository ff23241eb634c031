"""What a publish is doing, as bars of bytes."""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from seeder.placing import Progress as PublishProgress
from seeder.placing import Step


@contextlib.contextmanager
def progress_bars() -> Iterator[PublishProgress]:
    """A bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {step: bars.add_task(step, total=None, start=False, visible=False) for step in Step}

        def report(step: Step, done_bytes: int, total_bytes: int) -> None:
            bars.start_task(tasks[step])
            bars.update(tasks[step], completed=done_bytes, total=total_bytes, visible=True)

        yield report
