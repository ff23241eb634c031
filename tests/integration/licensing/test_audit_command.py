"""`albumswarm-licensing audit`: a line for each finding, and an exit code for scripts."""

import json
from pathlib import Path

import pytest

from licensing.cli.audit import audit
from licensing.config import load_licensing_config
from licensing.stores import open_ledger
from tests.contract.histories import live
from tests.contract.ledgers import LedgerStore
from tests.integration.licensing.commands import run
from tests.integration.licensing.running import found_folder


async def test_audit_tells_the_head_and_exits_with_1_for_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = await found_folder(tmp_path / "licensing")
    async with open_ledger(folder, load_licensing_config(folder.root, None)) as ledger:
        await live(ledger)
    store = LedgerStore(folder.root, "ledger.sqlite3")
    ((last, hash_),) = store.tamper("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")
    await audit(data=folder.root)
    said = capsys.readouterr().out
    assert said.startswith(f"{last} events and ")
    assert said.endswith(f"event {last} has hash {hash_.hex()}\n")

    store.tamper("UPDATE licences SET amount_minor = 1 WHERE position = 0")
    code, out, err = await run("audit", "--data", str(folder.root))
    assert code == 1
    assert "amount_minor is 1, but 999 by the events" in out
    assert err == (
        f"albumswarm-licensing: error: {len(out.splitlines())} findings: "
        "the ledger is not what was written\n"
    )
    code, out, _ = await run("audit", "--data", str(folder.root), "--json")
    assert code == 1
    told = json.loads(out)
    assert (told["events"], told["head"]) == (last, hash_.hex())
    assert told["findings"]
    assert not list(tmp_path.glob("albumswarm-audit-*"))
