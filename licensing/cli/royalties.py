"""Royalty statements."""

import csv
import enum
import io
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from client_lib.console import human_console, print_json, print_text, printable
from client_lib.wire.money import money_text
from licensing.cli.root import app
from licensing.config import DEFAULT_DATA, load_licensing_config
from licensing.data_folder import DataFolder
from licensing.royalties import Period, StatementLine
from licensing.royalties import statement as royalty_statement
from licensing.stores import open_ledger

_FORMULAS = ("=", "+", "-", "@")


class StatementFormat(enum.StrEnum):
    """How a statement is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@app.command
async def statement(
    *,
    period: str,
    format: StatementFormat = StatementFormat.TABLE,  # noqa: A002 - the flag is called --format
    data: Path = DEFAULT_DATA,
    config: Path | None = None,
) -> None:
    """Print what the rights holders earned in a month (UTC).

    Every sale counts once, in the month of the sale; a refund in the month of the refund, by the
    shares of its sale. CSV and JSON have amounts in minor units.

    Parameters
    ----------
    period
        The month, such as 2026-11.
    format
        table, csv or json.
    data
        The folder that `init` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    month = Period.parse(period)
    settings = load_licensing_config(data, config)
    async with open_ledger(DataFolder(data), settings) as ledger:
        lines = royalty_statement(await ledger.sold_between(month.start, month.end))
    match format:
        case StatementFormat.TABLE:
            human_console().print(_table(month, lines))
        case StatementFormat.CSV:
            print_text(_csv(month, lines))
        case StatementFormat.JSON:
            print_json({"period": month.name, "lines": lines})


def _table(month: Period, lines: tuple[StatementLine, ...]) -> Table:
    table = Table(title=f"Royalties {month.name}, UTC")
    table.add_column("rights holder", overflow="fold")
    for heading in ("sales", "refunds", "gross", "refunded", "net", "share"):
        table.add_column(heading, justify="right", overflow="fold")
    for line in lines:
        amounts = (line.gross_minor, line.refunded_minor, line.net_minor, line.share_minor)
        table.add_row(
            Text(printable(line.holder)),
            str(line.sales),
            str(line.refunds),
            *(money_text(amount, line.currency) for amount in amounts),
        )
    return table


def _csv(month: Period, lines: tuple[StatementLine, ...]) -> str:
    """RFC 4180, but with the line ends of this machine.

    Names come from publishers and their files' tags: one that a spreadsheet would take for a
    formula gets an apostrophe before it.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("period", *StatementLine.__struct_fields__))
    for line in lines:
        holder, *amounts = msgspec.structs.astuple(line)
        rows.writerow((month.name, _as_text(printable(holder)), *amounts))
    return text.getvalue().rstrip("\n")


def _as_text(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULAS) else name
