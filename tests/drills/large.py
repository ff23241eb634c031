"""A ledger of a million licences: `python -m tests.drills.large`, or with `--postgresql`.

Fills a ledger through the books, then serves it beside an empty one and sends both the same
requests in turn. On PostgreSQL the filled ledger arrives as a backup of the SQLite one does.
Also tells what audit, backup and restore of so much take.
"""

import argparse
import contextlib
import datetime as dt
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from client_lib.wire import certificates
from client_lib.wire.crl import RevocationList
from client_lib.wire.licence import DeviceSecret, LicenceId, licence_id_from
from client_lib.wire.release import TorrentName
from licensing.books import licences, refunds, sales
from licensing.books.sql import Sql
from licensing.config import load_licensing_config, utc_now
from licensing.data_folder import DataFolder
from licensing.ledger import HeldLicence, Line, Redemption
from licensing.store_sqlite import open_sqlite_ledger
from tests.bench.licensing.load import Exchange, Load, http_request
from tests.bench.licensing.till import (
    CREATED,
    OK,
    RELEASES,
    STORE,
    Till,
    new_secret,
    open_till,
    serving,
)
from tests.bench.report import Figure, figure, publish
from tests.contract.leaves import IssuedCertificate
from tests.postgres import postgres_server

LARGEST_RATIO = 1.5
_AT_ONCE = 2_000
_COMMAND = (sys.executable, "-m", "licensing")
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Filling:
    """What the ledger is filled with: sale `number` of `count`, from a year ago until now.

    Every tenth licence has a certificate, half of them expired; every hundredth sale was revoked.
    """

    count: int
    now: dt.datetime

    def device(self, number: int) -> DeviceSecret:
        return DeviceSecret(hashlib.sha256(f"device {number}".encode()).digest())

    def licence(self, number: int) -> LicenceId:
        return licence_id_from(hashlib.sha256(f"licence {number}".encode()).digest()[:16])

    def enter(self, sql: Sql, numbers: range) -> None:
        """Enter these sales."""
        for number in numbers:
            at = self.now - 365 * _DAY * (1 - number / self.count)
            sales.redeem(sql, self._redemption(number), at)
            if number % 10 == 0:
                ends = self.now + _DAY if number % 20 == 0 else self.now - _DAY
                leaf = IssuedCertificate(
                    1 + number, self.licence(number), self.device(number).device_id, ends
                )
                self._certify(sql, leaf, at)
            if number % 100 == 0:
                refunds.revoke_purchase(sql, STORE, f"purchase-{number}", "refund", at)

    def _certify(self, sql: Sql, leaf: IssuedCertificate, at: dt.datetime) -> None:
        def make(_held: HeldLicence) -> IssuedCertificate:
            return leaf

        licences.issue_certificate(sql, leaf.licence_id, leaf.device_id, make, limit=10, now=at)

    @property
    def on_the_crl(self) -> int:
        """Unexpired certificates of revoked sales."""
        return len(range(0, self.count, 100))

    def _redemption(self, number: int) -> Redemption:
        name = TorrentName(RELEASES[number % len(RELEASES)])
        return Redemption(
            store=STORE,
            token_id=f"token-{number}",
            digest=hashlib.sha256(f"token {number}".encode()).hexdigest(),
            purchase=f"purchase-{number}",
            subject=f"customer-{number // 5}",
            device_limit=5,
            device_id=self.device(number).device_id,
            lines=(Line(name, 999, "EUR", self.licence(number)),),
        )


async def fill(folder: DataFolder, filling: Filling) -> None:
    """Enter all sales into the SQLite ledger of a folder."""
    async with open_sqlite_ledger(folder.root / "ledger.sqlite3") as ledger:
        for start in range(0, filling.count, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, filling.count))
            await ledger._write(partial(filling.enter, numbers=numbers))


def command(name: str, *arguments: object) -> list[Figure]:
    """Run a command of ours to its end: how long it took, and its memory at most."""
    started = time.perf_counter()
    process = subprocess.Popen([*_COMMAND, name, *map(str, arguments)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.returncode == 0, told.decode()
    return [
        Figure(name, round(time.perf_counter() - started, 1), "s"),
        Figure(f"{name}, memory", round(usage.ru_maxrss / 1024), "MiB"),
    ]


@contextlib.contextmanager
def served(folder: DataFolder) -> Iterator[Till]:
    """A folder's service."""
    log = folder.root.with_suffix(".serve.log")
    with serving((*_COMMAND, "serve", "--data", str(folder.root)), log) as address:
        yield Till(folder, address)


def measure(
    large: Till, empty: Till, filling: Filling, *, rounds: int, exchanges: int
) -> list[Figure]:
    """Ask both the same in turn, one request at a time; medians of the rounds' medians."""
    loads: dict[tuple[str, str], list[Load]] = defaultdict(list)
    rng = random.Random(1)
    for number in range(rounds + 1):  # the first one warms up
        chosen = [rng.randrange(filling.count) for _ in range(exchanges)]
        known = [filling.device(each) for each in chosen if each % 100]
        new = [new_secret() for _ in known]
        with empty.load(1) as generator:
            bought = [(secret, empty._redemption(secret, RELEASES[:1])) for secret in new]
            generator.closed_loop(exchange for _, exchange in bought)
        sides = [("large", large, known), ("empty", empty, new)]
        for name, till, devices in sides if number % 2 else reversed(sides):
            with till.load(1) as generator:
                for what, asked in (
                    ("redemption", till.redemptions(len(devices))),
                    ("library", [_library(secret) for secret in devices]),
                ):
                    load = generator.closed_loop(asked)
                    if number:
                        loads[name, what].append(load)
                held = [
                    json.loads(generator.ask(_library(secret)))["licences"][0]["licence_id"]
                    for secret in devices
                ]
                load = generator.closed_loop(map(_certificate, devices, held))
                if number:
                    loads[name, "certificate"].append(load)
    figures = []
    for what in ("redemption", "library", "certificate"):
        for quantile, word in ((0.5, "median"), (0.99, "99th percentile")):
            runs = {
                name: [load.latency_ms(quantile) for load in loads[name, what]]
                for name in ("large", "empty")
            }
            figures.append(figure(f"{what}, {word}", runs["large"], "ms", against=runs["empty"]))
    return figures


def _library(secret: DeviceSecret) -> Exchange:
    return Exchange(http_request("GET", "/v1/licences", bearer=secret.bearer), OK)


_CSR = json.dumps({"csr": certificates.make_csr(certificates.new_key())}).encode()


def _certificate(secret: DeviceSecret, licence_id: str) -> Exchange:
    path = f"/v1/licences/{licence_id}/certificate"
    return Exchange(http_request("POST", path, bearer=secret.bearer, body=_CSR), CREATED)


def revocation_list(till: Till) -> tuple[bytes, RevocationList]:
    """The CRL that a service gives out."""
    with till.load(1) as generator:
        der = generator.ask(Exchange(http_request("GET", "/v1/crl"), OK))
    ca = certificates.load_certificate(till.folder.ca.read_text())
    return der, RevocationList.from_der(der, ca=ca)


def _filled(
    folder: DataFolder, filling: Filling, backup: Path, with_passphrase: tuple[object, ...]
) -> list[Figure]:
    """Fill a ledger on SQLite and back it up."""
    with open_till(folder.root):
        pass
    started = time.perf_counter()
    trio.run(fill, folder, filling)
    elapsed = time.perf_counter() - started
    return [
        Figure("filled", round(filling.count / elapsed), "sales/s"),
        *command("backup", backup, *with_passphrase, "--data", folder.root),
        Figure("backup, file", round(backup.stat().st_size / 1e6), "MB"),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--licences", type=int, default=1_000_000)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--exchanges", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="where to leave the backup that it makes")
    parser.add_argument("--backup", type=Path, help="such a backup, instead of filling a ledger")
    chosen = parser.parse_args(arguments)
    filling = Filling(chosen.licences, utc_now())
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        root = Path(temporary)
        ledgers = {"empty": "", "large": "ledger.sqlite3"}
        if chosen.postgresql:
            server = stack.enter_context(postgres_server(fast=False))
            ledgers = {name: server.new_database() for name in ledgers}
        empty, large = (DataFolder(root / name) for name in ("empty", "large"))
        with open_till(empty.root, ledger=ledgers["empty"]):
            pass
        passphrase = root / "passphrase"
        passphrase.write_text("of the drill")
        with_passphrase = ("--passphrase-file", passphrase)
        figures = [Figure("licences", filling.count, "")]
        backup = chosen.backup
        if backup is None:
            backup = chosen.keep or root / "large.backup"
            figures += _filled(DataFolder(root / "filled"), filling, backup, with_passphrase)
        where = ("--ledger", ledgers["large"])
        figures += command("restore", backup, *with_passphrase, *where, "--data", large.root)
        with served(large) as large_till, served(empty) as empty_till:
            figures += measure(
                large_till,
                empty_till,
                filling,
                rounds=chosen.rounds,
                exchanges=chosen.exchanges,
            )
            der, crl = revocation_list(large_till)
            assert len(crl.serials) == filling.on_the_crl, (len(crl.serials), filling.on_the_crl)
            figures.append(Figure("entries on the CRL", len(crl.serials), ""))
            figures.append(Figure("CRL", round(len(der) / 1e3), "kB"))
        figures += command("audit", "--data", large.root)
        config = load_licensing_config(large.root, None)
        assert config.ledger == ledgers["large"]
    publish(
        "ledger-large-postgresql" if chosen.postgresql else "ledger-large",
        figures,
        against="empty ledger",
    )
    worst = max(each.ratio or 0 for each in figures if each.name.endswith("median"))
    if worst > LARGEST_RATIO:
        sys.exit(f"a request takes {worst} times as long as on the empty ledger")


if __name__ == "__main__":
    main()
