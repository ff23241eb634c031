"""`albumswarm list`: what the device may download, and where it is."""

from typing import Annotated

from cyclopts import Parameter
from rich.filesize import decimal

from client_lib.cli.answers import Listed, ListedLicence
from client_lib.cli.options import Options
from client_lib.cli.selection import title
from client_lib.console import print_json, print_table, print_text
from client_lib.download.account import Account, open_account
from client_lib.download.library import DownloadState
from client_lib.wire.licensing_api import LicenceRecord, LicenceState

_NO_OPTIONS = Options()


async def list_licences(
    *,
    offline: Annotated[bool, Parameter(help="Do not ask licensing.")] = False,
    options: Options = _NO_OPTIONS,
) -> None:
    """Show the albums that this device may download, and which are there."""
    async with open_account(options.settings()) as account:
        licences = await account.licences(refresh=not offline)
        rows = [(licence, folder_of(account, licence)) for licence in licences]
    if options.json:
        print_json(Listed(tuple(ListedLicence(licence, folder) for licence, folder in rows)))
        return
    if not rows:
        print_text("No licences yet: redeem a payment token first.")
        return
    table = [("Album", "Name", "Size", "State")]
    for licence, folder in rows:
        state = "revoked" if licence.state is LicenceState.REVOKED else folder or "not here"
        table.append((title(licence), licence.name, decimal(licence.size_bytes), state))
    print_table(table)


def folder_of(account: Account, licence: LicenceRecord) -> str | None:
    """Folder of a complete album."""
    record = account.library.download(licence.licence_id)
    complete = record is not None and record.state is DownloadState.COMPLETE
    return record.folder if record is not None and complete else None
