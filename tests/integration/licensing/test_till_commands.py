"""Credit, refunds and royalties by the commands of customers, store and operator."""

import csv
import io
import json
import sys
from pathlib import Path

import trio

from client_lib.wire.release import TorrentName
from licensing.config import utc_now
from licensing.ledger import Role
from licensing.stores import open_ledger
from tests.integration.licensing.commands import run
from tests.integration.licensing.running import ALBUM, STORE, Running, found_folder, running
from tests.patience import PATIENCE_S

MP3 = TorrentName("rel-0001.mp3-320")


async def albumswarm(
    service: Running, data: Path, *arguments: str, token: str = ""
) -> tuple[int, str, str]:
    at = ("--data", data, "--licensing-url", service.url, "--licensing-ca", service.folder.ca)
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [sys.executable, "-m", "client_lib", *arguments, *map(str, at)],
            stdin=token.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def licensing(service: Running, *arguments: str) -> str:
    code, out, err = await run(*arguments, "--data", str(service.folder.root))
    assert (code, err) == (0, "")
    return out


async def test_customer_buys_from_credit(tmp_path: Path) -> None:
    folder = await found_folder(tmp_path / "licensing", price_per_mb_minor={"EUR": "2500"})
    alice = tmp_path / "alice"
    async with running(folder) as service:
        await service.publish(ALBUM, MP3)
        code, out, err = await albumswarm(service, alice, "balance")
        assert (code, err) == (0, "")
        assert "No prepaid credit" in out
        mint = ("mint-token", "--customer", "alice", "--credit", "1000", "--purchase", "topup-1")
        code, out, _ = await albumswarm(
            service, alice, "redeem", token=await licensing(service, *mint)
        )
        assert (code, out) == (0, "credit: 10.00 EUR\n")
        code, out, _ = await albumswarm(service, alice, "quote", "rel-0001")
        assert code == 0
        assert all(word in out for word in (ALBUM, MP3, "202.8 kB", "5.07 EUR"))

        code, _, err = await albumswarm(service, alice, "buy", "rel-0001", "--currency", "EUR")
        assert code == 2
        assert f"{ALBUM}, {MP3}" in err
        for expected in (
            f"{MP3}: bought for 5.07 EUR, 4.93 EUR left\n",
            f"{MP3}: yours already, nothing was charged, 4.93 EUR left\n",
        ):
            code, out, err = await albumswarm(service, alice, "buy", MP3, "--currency", "EUR")
            assert (code, out, err) == (0, expected, "")
        code, out, err = await albumswarm(service, alice, "buy", ALBUM, "--currency", "EUR")
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert "5.07 EUR, and the balance is 4.93 EUR" in err
        code, out, _ = await albumswarm(service, alice, "balance")
        assert (code, out) == (0, f"4.93 EUR at {STORE}, customer alice\n")
        code, out, _ = await albumswarm(service, alice, "balance", "--json")
        assert json.loads(out)["balances"][0]["balance_minor"] == 493
        code, out, _ = await albumswarm(service, alice, "list", "--json")
        assert [row["licence"]["name"] for row in json.loads(out)["licences"]] == [MP3]


async def test_operator_revokes_and_takes_it_back(tmp_path: Path) -> None:
    folder = await found_folder(tmp_path / "licensing")
    alice = tmp_path / "alice"
    async with running(folder) as service:
        await service.publish()
        token = service.token(purchase="order-1")
        assert (await albumswarm(service, alice, "redeem", token=token))[0] == 0

        async def state() -> str:
            _, out, _ = await albumswarm(service, alice, "list", "--json")
            return str(json.loads(out)["licences"][0]["licence"]["state"])

        _, out, _ = await albumswarm(service, alice, "list", "--json")
        licence = json.loads(out)["licences"][0]["licence"]["licence_id"]
        for what in (("--purchase", "order-1"), ("--licence", licence)):
            out = await licensing(service, "revoke", *what)
            assert out.startswith("revoked ")
            assert await state() == "revoked"
            out = await licensing(service, "revoke", *what, "--undo", "--json")
            assert json.loads(out)["reinstated"] == 1
            assert await state() == "active"
        code, _, err = await run(
            *("revoke", "--api-key", "x", "--undo", "--data", str(folder.root))
        )
        assert (code, err.count("\n")) == (2, 1)


async def test_store_mints_revocations(tmp_path: Path) -> None:
    folder = await found_folder(tmp_path / "licensing")
    async with running(folder) as service:
        await service.publish()
        async with service.client() as store:
            for kind, state in (("chargeback", "revoked"), ("reinstate", "active")):
                token = await licensing(
                    service, "mint-revocation", "--purchase", "order-1", "--kind", kind
                )
                assert (await store.revoke(token.strip())).state == state
    at = ("--data", str(folder.root))
    for arguments, message in (
        (("mint-revocation", "--purchase", "two words"), "purchase"),
        (("mint-revocation", "--purchase", "p", "--kind", "theft"), "theft"),
        (("mint-token", "--customer", "c"), "--credit"),
        (("mint-token", "--customer", "c", "--credit", "1", "--currency", "euro"), "such as EUR"),
        (("mint-token", "--customer", "c", "--credit", "1", "--item", ALBUM), "--credit"),
        (("mint-token", "--customer", "c", "--credit", "-1"), "amount_minor"),
    ):
        code, out, err = await run(*arguments, *at)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert message in err


async def test_statement_is_printed_in_every_format(tmp_path: Path) -> None:
    folder = await found_folder(tmp_path / "licensing")
    month = f"{utc_now():%Y-%m}"
    async with running(folder) as service:
        key = await service.api_key(Role.PUBLISHER)
        shares = [{"name": "=[Label]\u202e", "share_bp": 7000}, {"name": "Björk", "share_bp": 3000}]
        async with service.http(key) as http:
            path = "/v1/releases/" + ALBUM.replace(".", "/")
            for wrong in (9_999, 10_001):
                bad = [{"name": "Label", "share_bp": wrong}]
                answer = await http.put(path, json=service.publication(rights=bad))
                assert answer.status_code == 400
            answer = await http.put(path, json=service.publication(rights=shares))
            assert answer.status_code == 201
        for number in range(2):
            secret = tmp_path / f"customer-{number}"
            token = service.token(purchase=f"order-{number}")
            for _ in range(2):
                assert (await albumswarm(service, secret, "redeem", token=token))[0] == 0
        await licensing(service, "revoke", "--purchase", "order-1")
        at = ("statement", "--period", month)
        answer_json = json.loads(await licensing(service, *at, "--format", "json"))
        table = await licensing(service, *at)
        rows = list(csv.DictReader(io.StringIO(await licensing(service, *at, "--format", "csv"))))
        async with open_ledger(folder, service.config) as ledger:
            assert await ledger.sales() == 2
    assert answer_json["period"] == month
    lines = {line["holder"]: line for line in answer_json["lines"]}
    assert set(lines) == {"Björk", "=[Label]\u202e"}
    assert lines["=[Label]\u202e"] == {
        "holder": "=[Label]\u202e",
        "currency": "EUR",
        "sales": 2,
        "refunds": 1,
        "gross_minor": 1998,
        "refunded_minor": 999,
        "net_minor": 999,
        "share_minor": 699,
    }
    assert lines["Björk"]["share_minor"] == 300
    assert [(row["holder"], row["share_minor"]) for row in rows] == [
        ("'=[Label]\ufffd", "699"),  # text to a spreadsheet, and nothing to a terminal
        ("Björk", "300"),
    ]
    assert all(word in table for word in ("Björk", "=[Label]\ufffd", "6.99 EUR", month))
    code, _, err = await run("statement", "--period", "November", "--data", str(folder.root))
    assert (code, err.count("\n")) == (2, 1)
