"""Commands for stores that sell by the megabyte: prices, credit, buying."""

from typing import Annotated

from cyclopts import Parameter
from rich.filesize import decimal

from client_lib.cli.options import Options
from client_lib.console import print_json, print_table, print_text
from client_lib.download.client import Client, open_client
from client_lib.errors import UsageError
from client_lib.wire.licensing_api import BalanceAnswer
from client_lib.wire.money import money_text
from client_lib.wire.release import (
    TorrentName,
    parse_release_id,
    parse_torrent_name,
    torrent_name,
)

_NO_OPTIONS = Options()


async def balance(*, options: Options = _NO_OPTIONS) -> None:
    """Show the prepaid credit that this device may spend."""
    async with open_client(options.settings()) as client:
        balances = await client.balances()
    if options.json:
        print_json(BalanceAnswer(balances))
        return
    if not balances:
        print_text("No prepaid credit: redeem a token for some first.")
    for entry in balances:
        amount = money_text(entry.balance_minor, entry.currency)
        print_text(f"{amount} at {entry.store}, customer {entry.subject}")


async def quote(
    release: Annotated[str, Parameter(help="Release id, such as rel-0001.")],
    /,
    *,
    options: Options = _NO_OPTIONS,
) -> None:
    """Show the formats of a release, and what each costs in prepaid credit."""
    release_id = parse_release_id(release)
    async with open_client(options.settings()) as client:
        answer = await client.quote(release_id)
    if options.json:
        print_json(answer)
        return
    table = [("Name", "Size", "Price")]
    for entry in answer.formats:
        prices = ", ".join(map(str, entry.prices)) or "not for credit"
        table.append((entry.name, decimal(entry.size_bytes), prices))
    print_table(table)


async def buy(
    name: Annotated[
        str, Parameter(help="Name as `albumswarm quote` shows it; a release id if that has one.")
    ],
    /,
    *,
    currency: Annotated[str, Parameter(help="Which credit to spend, such as EUR.")],
    options: Options = _NO_OPTIONS,
) -> None:
    """Buy a release with prepaid credit; then get it. What you own is not charged again."""
    async with open_client(options.settings()) as client:
        answer = await client.buy(await _whole_name(client, name), currency)
    if options.json:
        print_json(answer)
        return
    left = f"{money_text(answer.balance_minor, currency)} left"
    if answer.already_owned:
        print_text(f"{answer.licence.name}: yours already, nothing was charged, {left}")
    else:
        price = money_text(answer.charged_minor, currency)
        print_text(f"{answer.licence.name}: bought for {price}, {left}")


async def _whole_name(client: Client, name: str) -> TorrentName:
    """Complete a release id that has only one format."""
    if "." in name:
        return parse_torrent_name(name)
    release_id = parse_release_id(name)
    formats = (await client.quote(release_id)).formats
    if len(formats) > 1:
        names = ", ".join(entry.name for entry in formats)
        raise UsageError(f"{name} comes in several formats, name one: {names}")
    return torrent_name(release_id, formats[0].format)
