"""`albumswarm verify` and `repair`: is what lies on the disk what was bought? If not, mend it."""

import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from rich.filesize import decimal

from client_lib.cli.answers import (
    RepairedAlbum,
    RepairedAlbums,
    VerifiedAlbum,
    VerifiedAlbums,
)
from client_lib.cli.json_events import JsonLines
from client_lib.cli.listing import folder_of
from client_lib.cli.options import LineOptions, Options
from client_lib.cli.progress import Bars
from client_lib.cli.progress_view import ProgressView
from client_lib.cli.selection import select, title
from client_lib.console import print_json, print_text, printable
from client_lib.download.client import Client, open_client
from client_lib.download.disk.verification import FileFinding, FileState, VerifyProgress
from client_lib.errors import DownloadError
from client_lib.wire.licensing_api import LicenceRecord

_NO_OPTIONS = Options()
_NO_LINE_OPTIONS = LineOptions()

Names = Annotated[
    tuple[str, ...], Parameter(help="Names as `albumswarm list` shows them; none: all here.")
]


async def verify(names: Names = (), /, *, options: Options = _NO_OPTIONS) -> None:
    """Hash albums on the disk against what was bought. Needs no network.

    What is wrong is listed, and mended by `albumswarm repair`. Files beside an album's own are
    listed, too; nothing touches them.
    """
    wrong = 0
    report: list[VerifiedAlbum] = []
    async with open_client(options.settings()) as client:
        for licence in await _chosen(client, names):
            hashing = _HashingLine(title(licence))
            try:
                findings = await client.verify(licence, hashing.show)
            finally:
                hashing.clear()
            bad = [finding for finding in findings if finding.is_damage]
            surplus = [one for one in findings if one.state is FileState.SURPLUS]
            wrong += len(bad)
            count = len(findings) - len(surplus)
            report.append(VerifiedAlbum(licence.name, count, tuple(bad), tuple(surplus)))
            if not options.json:
                state = "verified" if not bad else f"{len(bad)} wrong"
                print_text(f"{licence.name}: {count} files, {state}")
                _print_findings(bad + surplus)
    if options.json:
        print_json(VerifiedAlbums(tuple(report)))
    if wrong:
        sentence = f"{wrong} files are not what was bought"
        raise DownloadError(f"{sentence}: `albumswarm repair` mends them")


async def repair(
    names: Names = (),
    /,
    *,
    line: LineOptions = _NO_LINE_OPTIONS,
    options: Options = _NO_OPTIONS,
) -> None:
    """Verify albums on the disk, and fetch what is missing or changed of them.

    Only damaged pieces are fetched. What was only renamed, or is in another album here, is copied.
    Mended files replace the damaged ones; files beside them stay as they are.
    """
    report: list[RepairedAlbum] = []
    async with open_client(options.settings(line)) as client:
        for licence in await _chosen(client, names):
            report.append(await _repair(client, licence, as_json=options.json))
    if options.json:
        print_json(RepairedAlbums(tuple(report)))


async def _repair(client: Client, licence: LicenceRecord, *, as_json: bool) -> RepairedAlbum:
    hashing = _HashingLine(title(licence))
    view: ProgressView = JsonLines() if as_json else Bars((licence,))
    try:
        done = await client.repair(licence, hashing.show, view.show)
    finally:
        hashing.clear()
        view.close()
    if not as_json:
        _print_findings(done.mended)
        what = (
            f"{len(done.mended)} files mended ({decimal(done.downloaded_bytes)} fetched, "
            f"{decimal(done.reused_bytes)} copied on this device)"
        )
        print_text(f"{licence.name}: {what if done.mended else 'nothing to mend'}")
    return RepairedAlbum(
        name=done.name,
        folder=str(done.folder),
        mended=done.mended,
        downloaded_bytes=done.downloaded_bytes,
        reused_bytes=done.reused_bytes,
    )


async def _chosen(client: Client, names: Sequence[str]) -> list[LicenceRecord]:
    licences = await client.licences(refresh=False)
    if names:
        return select(licences, names)
    return [licence for licence in licences if folder_of(client, licence) is not None]


def _print_findings(findings: Sequence[FileFinding]) -> None:
    for finding in findings:
        print_text(f"  {finding.state}: {printable(finding.path)}")


class _HashingLine:
    """One line on a terminal that says how far hashing is; nothing elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown = ""
        self._is_terminal = sys.stderr.isatty()

    def show(self, progress: VerifyProgress) -> None:
        percent = progress.done_bytes * 100 // max(1, progress.total_bytes)
        text = f"{self._name}: hashing, {percent}%"
        if self._is_terminal and text != self._shown:
            self._shown = text
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        if progress.done_bytes == progress.total_bytes:
            self.clear()

    def clear(self) -> None:
        if self._shown:
            self._shown = ""
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
