"""What the commands have in common: exit codes, one-line errors, tables or JSON."""

import sys
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NoReturn, TypeVar

import cyclopts
import msgspec
import trio

from client_lib.errors import AlbumswarmError, StorageError, UsageError
from client_lib.nursery import leaves

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Status = TypeVar("Status")

EXIT_INTERRUPTED = 130
EXIT_CODES = "Exit codes: 0 ok, 1 failed, 2 usage, 3 refused, 4 unreachable."
"""For the help of an application."""
_WATCHED_EVERY_S = 2.0


def new_app(name: str, help_text: str, version: str) -> cyclopts.App:
    """Make a command line application in our style."""
    return cyclopts.App(
        name=name,
        help=help_text,
        version=version,
        backend="trio",
        result_action="return_value",
        help_format="markdown",
        # No `--no-json` for each `--json`, and no word of defaults that say nothing.
        default_parameter=cyclopts.Parameter(negative="", show_default=_shown_default),
    )


def _shown_default(value: object) -> str | None:
    if isinstance(value, Enum):
        return value.name.lower().replace("_", "-")
    return str(value) if value else None


def run_app(app: cyclopts.App) -> NoReturn:
    """Run the command line and exit: 0 ok, 1 failed, 2 usage, 3 refused, 4 unreachable.

    An error of ours is one line on standard error; a traceback means a bug.
    """
    name = app.name[0]
    try:
        app(exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        message = " ".join(str(error).split()).removeprefix("╭─ Error").strip()
        _fail(name, f"{message} (see {name} --help)", UsageError.exit_code)
    except AlbumswarmError as error:
        _fail(name, str(error), error.exit_code)
    except BaseExceptionGroup as group:
        ours = _only_ours(group)
        _fail(name, str(ours), ours.exit_code)
    except (KeyboardInterrupt, trio.Cancelled):
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone: `albumswarm list | head`
        sys.stderr.close()
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)


def _only_ours(group: BaseExceptionGroup[BaseException]) -> AlbumswarmError:
    """Take the one error of ours out of a nursery's group; anything else is a bug and raises."""
    ours, others = group.split(AlbumswarmError)
    interrupted, others = others.split(KeyboardInterrupt) if others else (None, None)
    if others is not None:
        raise group
    if interrupted is not None:
        sys.exit(EXIT_INTERRUPTED)
    error = None if ours is None else leaves(ours)[0]
    if not isinstance(error, AlbumswarmError):
        raise group
    return error


def _fail(name: str, message: str, exit_code: int) -> NoReturn:
    line = printable(" ".join(message.split()))
    print(f"{name}: error: {line}", file=sys.stderr)  # noqa: T201 - this is the command line
    sys.exit(exit_code)


def print_json(value: object) -> None:
    """Write one line of JSON to standard output (msgspec's mapping of our records)."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Text from outside (titles, names), without characters that steer a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def print_text(text: str) -> None:
    """Write plain text to standard output, unstyled and unwrapped, for pipes."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_note(text: str) -> None:
    """Write a line for people to standard error: not part of the answer."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Write rows, the first of them the heads, as columns two spaces apart; each row a line."""
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)
        )
        print_text("  ".join(cells).rstrip())


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes (Unicode, annex 11)."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def human_console() -> "Console":
    """Rich console on standard output for people."""
    from rich.console import Console

    return Console(highlight=False)


async def show_status(
    read: Callable[[], Awaitable[Status]],
    rendered: Callable[[Status], "RenderableType"],
    *,
    watch: bool,
    json: bool,
) -> None:
    """Show a status once, or with `watch` every two seconds until interrupted.

    As one JSON object a line, or `rendered` for a terminal.
    """
    status = await read()
    if json:
        print_json(status)
        while watch:
            await trio.sleep(_WATCHED_EVERY_S)
            print_json(await read())
        return
    console = human_console()
    if not watch:
        console.print(rendered(status))
        return
    from rich.live import Live

    with Live(rendered(status), console=console, auto_refresh=False) as live:
        while True:
            await trio.sleep(_WATCHED_EVERY_S)
            live.update(rendered(await read()), refresh=True)


def arguments_or_input(arguments: tuple[str, ...], what: str) -> tuple[str, ...]:
    """The arguments given, or else the lines of standard input: secrets need not be in `ps`.

    Raises UsageError if there is neither.
    """
    if arguments:
        return arguments
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"no {what}: give one, or pipe it to standard input")
    try:
        lines = tuple(sys.stdin.read(1 << 20).split())
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read standard input: {error}") from error
    if not lines:
        raise UsageError(f"no {what}: standard input is empty")
    return lines
