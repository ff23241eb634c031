"""Audit: has anybody tampered with the ledger, and does its state follow from its events?"""

import tempfile
from pathlib import Path

from client_lib.console import print_json, print_text
from client_lib.errors import StorageError
from licensing.books.audit import Audited
from licensing.books.audit import audit as audit_books
from licensing.books.sql import Snapshot
from licensing.cli.root import app
from licensing.config import DEFAULT_DATA, load_licensing_config
from licensing.data_folder import DataFolder
from licensing.store_sqlite import open_scratch
from licensing.stores import open_ledger


@app.command
async def audit(
    *, json: bool = False, data: Path = DEFAULT_DATA, config: Path | None = None
) -> None:
    """Verify the event log's hash chain, and that every row of the ledger follows from it.

    Prints a line for each finding, and then the last event's number and hash: keep them
    elsewhere, and a log that was cut off or written anew will show. The service may run
    meanwhile. Needs about as much room for temporary files as the ledger has.

    Parameters
    ----------
    json
        Print one line of JSON.
    data
        The folder that `init` made.
    config
        Configuration file (default: licensing.toml in the folder).
    """
    settings = load_licensing_config(data, config)
    findings: list[str] = []

    def tell(finding: str) -> None:
        if json:
            findings.append(finding)
        else:
            print_text(finding)

    def run(snapshot: Snapshot) -> Audited:
        with (
            tempfile.TemporaryDirectory(prefix="albumswarm-audit-") as folder,
            open_scratch(Path(folder) / "replayed.sqlite3") as scratch,
        ):
            return audit_books(snapshot, scratch, tell=tell)

    async with open_ledger(DataFolder(data), settings) as ledger:
        audited = await ledger.inspect(run)
    if json:
        print_json(
            {
                "events": audited.events,
                "head": audited.head,
                "rows": audited.rows,
                "findings": findings,
            }
        )
    elif not audited.findings:
        print_text(
            f"{audited.events} events and {audited.rows} rows agree; "
            f"event {audited.events} has hash {audited.head}"
        )
    if audited.findings:
        raise StorageError(f"{audited.findings} findings: the ledger is not what was written")
