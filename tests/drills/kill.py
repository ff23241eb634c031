"""kill -9 under load: `python -m tests.drills.kill --kills 200`, or with `--postgresql`.

Customers redeem, top up, buy, revoke, reinstate and take certificates while the licensing
processes are killed at random moments. Then every acknowledged write must be there, once, and
the audit clean.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from client_lib.wire import certificates
from client_lib.wire.crl import RevocationList
from client_lib.wire.licence import DeviceSecret
from licensing.stores import open_ledger
from tests.drills.customers import CURRENCY, Customer
from tests.drills.fleet import Fleet
from tests.integration.licensing.commands import init, run
from tests.integration.licensing.running import Running
from tests.postgres import postgres_server

CUSTOMERS = 16
RELEASES = tuple(f"rel-{number:04}.flac-16-44" for number in range(12))
_LATEST_KILL_S = 0.6
_SETTINGS = f"""
[price_per_mb_minor]
{CURRENCY} = "4000"
[limits]
address_per_s = 1e6
address_burst = 1_000_000
device_per_s = 1e6
device_burst = 1_000_000
certificates_per_day = 10_000
"""


@dataclass(frozen=True)
class Report:
    """What was done, and survived."""

    kills: int
    seconds: float
    sales: int
    events: int
    acknowledged: Counter[str]

    def lines(self) -> Iterator[str]:
        yield f"{self.kills} kills in {self.seconds:.0f} s"
        yield f"  {self.sales} sales, {self.events} events"
        for what, count in sorted(self.acknowledged.items()):
            yield f"  {what.replace('_', ' ')}: {count}"
        yield "nothing acknowledged was lost, nothing doubled, the audit is clean"


async def drill(
    data: Path, *, kills: int, processes: int, ledger: str, rng: random.Random, customers: int
) -> Report:
    """Found a service in the new folder `data`, kill it so often, and check the books."""
    code, _, errors = await init(data, "--ledger", ledger)
    assert code == 0, errors
    with (data / "licensing.toml").open("a") as config:
        config.write(_SETTINGS)
    enough, started = trio.Event(), time.monotonic()
    async with contextlib.aclosing(Fleet(data, processes)) as fleet, trio.open_nursery() as nursery:
        for slot in range(processes):
            nursery.start_soon(fleet.run, slot)
        service = await fleet.running()
        await service.publish(*RELEASES)
        prices = {name: await _price(service, name) for name in RELEASES}
        people = [
            Customer(
                f"customer-{number}",
                DeviceSecret(rng.randbytes(32)),
                prices,
                random.Random(rng.random()),
            )
            for number in range(customers)
        ]
        async with trio.open_nursery() as living:
            for customer in people:
                living.start_soon(customer.live, fleet, enough)
            for number in range(kills):
                await fleet.kill(number % processes, rng.uniform(0, _LATEST_KILL_S))
            await fleet.running()
            enough.set()
        await _require_books(await fleet.running(), people)
        nursery.cancel_scope.cancel()
    code, out, errors = await run("audit", "--data", str(data), "--json")
    assert code == 0, out + errors
    done = sum((customer.acknowledged for customer in people), Counter[str]())
    sales = sum(customer.sales for customer in people)
    return Report(kills, time.monotonic() - started, sales, json.loads(out)["events"], done)


async def _price(service: Running, name: str) -> int:
    release_id, _, _ = name.partition(".")
    async with service.http() as http:
        quote = (await http.get(f"/v1/releases/{release_id}")).json()
    (price,) = quote["formats"][0]["prices"]
    return int(price["amount_minor"])


async def _require_books(service: Running, people: Sequence[Customer]) -> None:
    for customer in people:
        await customer.require_everything(service)
    async with open_ledger(service.folder, service.config) as ledger:
        assert await ledger.sales() == sum(customer.sales for customer in people)
    async with service.client() as client:
        answer = await client.revocation_list()
    assert answer is not None
    ca = certificates.load_certificate(service.ca_pem)
    revoked = RevocationList.from_der(answer.body, ca=ca).serials
    for customer in people:
        for purchase in customer.purchases:
            assert purchase.serials <= revoked or purchase.active
            assert not (purchase.serials & revoked and purchase.active)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the drill and print what it did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--postgresql", action="store_true", help="two processes, one database")
    parser.add_argument("--seed", type=int, default=None)
    chosen = parser.parse_args(arguments)
    rng = random.Random(chosen.seed)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger, processes = "ledger.sqlite3", 1
        if chosen.postgresql:
            server = stack.enter_context(postgres_server(fast=False))
            ledger, processes = server.new_database(), 2

        async def whole() -> Report:
            return await drill(
                folder / "licensing",
                kills=chosen.kills,
                processes=processes,
                ledger=ledger,
                rng=rng,
                customers=CUSTOMERS,
            )

        report = trio.run(whole)
    sys.stdout.writelines(f"{line}\n" for line in report.lines())


if __name__ == "__main__":
    main()
