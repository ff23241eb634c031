"""`albumswarm export`: an album's files for another BitTorrent client."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from client_lib.cli.answers import Exported
from client_lib.cli.options import Options, expanded
from client_lib.cli.selection import select
from client_lib.console import print_json, print_text
from client_lib.download.client import open_client

_NO_OPTIONS = Options()


async def export(
    name: Annotated[str, Parameter(help="Name as `albumswarm list` shows it.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="Folder; the files are in a new one in it.")],
    options: Options = _NO_OPTIONS,
) -> None:
    """Write an album's torrent, certificate and key for another BitTorrent client.

    The client must know SSL torrents, such as libtorrent or qBittorrent 5; a README is beside.
    """
    async with open_client(options.settings()) as client:
        (licence,) = select(await client.licences(), (name,))
        folder = await client.export(licence, expanded(to))
    if options.json:
        print_json(Exported(licence.name, str(folder)))
    else:
        print_text(f"{licence.name}: torrent, certificate and key are in {folder}")
