"""`make fuzz-licensing`: schemathesis against a real service, by its own OpenAPI document.

Over real HTTPS with every kind of credential, so that it gets past the doors: any 500, any
answer that the document does not promise, and any wrong body that is taken, fails.
"""

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from client_lib.wire.licence import DeviceSecret
from licensing.ledger import Role
from tests.integration.licensing.commands import serving
from tests.integration.licensing.running import ALBUM, Running, found_folder

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
)
ASKERS = ("device", "publisher", "seeder")
_UNLIMITED = """
[limits]
address_per_s = 1e6
address_burst = 1_000_000
device_per_s = 1e6
device_burst = 1_000_000
failures_per_s = 1e6
failures_burst = 1_000_000
certificates_per_day = 10_000
"""


@dataclass(frozen=True)
class Asker:
    """Who asks: a credential, and the calls (by tag) that it is for."""

    name: str
    bearer: str
    tags: tuple[str, ...]


async def fuzz(
    root: Path, *, examples: int, seed: int, names: tuple[str, ...] = ASKERS
) -> list[str]:
    """Run schemathesis as the askers of these names; reports of what they found."""
    folder = await found_folder(root / "licensing", price_per_mb_minor={"EUR": "2.5"})
    with folder.config.open("a") as file:
        file.write(_UNLIMITED)
    async with serving(folder.root) as (process, service):
        licence_id, askers = await _customers(service)
        config = root / "schemathesis.toml"
        release_id, _, audio_format = ALBUM.partition(".")
        config.write_text(
            "[parameters]\n"
            f"licence_id = {json.dumps([licence_id, 'a' * 26])}\n"
            f"release_id = {json.dumps([release_id, 'nothing'])}\n"
            f"audio_format = {json.dumps([audio_format, 'mp3'])}\n"
        )
        reports = []
        for asker in (asker for asker in askers if asker.name in names):
            code, report = await _schemathesis(service, asker, config, examples=examples, seed=seed)
            if code != 0 or "No issues found" not in report:
                reports.append(f"as {asker.name}:\n{report}")
        if process.returncode is not None:
            reports.append(f"the service ended with {process.returncode}")
        return reports


async def _customers(service: Running) -> tuple[str, list[Asker]]:
    await service.publish()
    secret = DeviceSecret(secrets.token_bytes(32))
    async with service.client(secret) as client:
        (licence,) = (await client.redeem(service.token())).licences
    publisher = await service.api_key(Role.PUBLISHER, key_id="fuzzer")
    seeder = await service.api_key(Role.SEEDER, key_id="fuzzer")
    return licence.licence_id, [
        Asker("device", secret.bearer, ("devices", "stores", "public", "operation")),
        Asker("publisher", publisher, ("nodes",)),
        Asker("seeder", seeder, ("nodes",)),
    ]


async def _schemathesis(
    service: Running, asker: Asker, config: Path, *, examples: int, seed: int
) -> tuple[int, str]:
    tags = [option for tag in asker.tags for option in ("--include-tag", tag)]
    done = await trio.run_process(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{service.url}/openapi.json", "--url", service.url),
            *("--header", f"Authorization: Bearer {asker.bearer}"),
            *("--tls-verify", str(service.folder.ca)),
            *("--checks", ",".join(CHECKS)),
            *("--max-examples", str(examples), "--seed", str(seed)),
            *("--phases", "examples,coverage,fuzzing"),
            *("--request-timeout", "30", "--no-shrink", "--warnings", "off", *tags),
        ],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
        cwd=config.parent,
    )
    return done.returncode, done.stdout.decode()


def main() -> None:
    """Fuzz for as long as wanted."""
    parser = argparse.ArgumentParser(prog="make fuzz-licensing")
    parser.add_argument("--examples", type=int, default=200, help="for each call and asker")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = trio.run(partial(fuzz, Path(folder), examples=chosen.examples, seed=chosen.seed))
    print(*reports, sep="\n\n")  # noqa: T201
    print(f"{len(reports)} askers found something (seed {chosen.seed})")  # noqa: T201
    sys.exit(bool(reports))


if __name__ == "__main__":
    main()
