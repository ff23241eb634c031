"""The demo's result, and what must hold of it. `… | python -m docs.demo.result` checks a line."""

import sys

import msgspec

from client_lib.console import new_app, run_app
from client_lib.errors import DownloadError, UsageError

CASES = (
    "plain (non-TLS) peer",
    "certificate for another release",
    "another CA's certificate",
    "expired certificate",
    "revoked licence at the tracker",
    "another customer's licence id",
    "payment token: expired",
    "payment token: another audience",
    "payment token: signed by another key",
    "payment token: alg none",
    "payment token: redeemed by another device",
)
MIN_OFFLOAD = 0.5  # of three customers starting together; the limit is 2/3


class ReleaseResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was sold."""

    name: str
    bytes: int


class CustomerResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one customer got. `verified`: every file is identical to the published one."""

    licence: str
    seconds: float
    bytes_from_seeders: int
    bytes_from_customers: int
    verified: bool


class RefusedResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attack: payload bytes that it obtained, and the words with which it was refused."""

    case: str
    bytes: int
    reason: str


class DemoResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line of `make demo ARGS=--json`. `seeder_bytes` are the seeders' own counters."""

    release: ReleaseResult
    customers: tuple[CustomerResult, ...]
    seeder_bytes: int
    delivered_bytes: int
    offload: float
    refused: tuple[RefusedResult, ...]

    def faults(self) -> list[str]:
        """Sentences about what is not as it should be; empty when all is well."""
        found = [f"{c.licence}: not identical" for c in self.customers if not c.verified]
        found += [f"{r.case}: {r.bytes} bytes leaked" for r in self.refused if r.bytes]
        found += [f"{r.case}: not refused" for r in self.refused if not r.reason]
        missing = set(CASES) - {refused.case for refused in self.refused}
        found += [f"{case}: not tried" for case in sorted(missing)]
        if self.delivered_bytes < self.release.bytes * len(self.customers):
            found.append("fewer bytes delivered than the customers' albums have")
        if len(self.customers) >= 3 and self.offload < MIN_OFFLOAD:
            found.append(f"offload {self.offload:.3f} is below {MIN_OFFLOAD}")
        if not self.customers:
            found.append("no customers")
        return found


app = new_app("demo-result", "Check the demo's JSON line on standard input.", "1")


@app.default
async def check() -> None:
    """Check the demo's JSON line on standard input; exit 1 if anything is wrong."""
    try:
        result = msgspec.json.decode(sys.stdin.buffer.read(1 << 20), type=DemoResult)
    except msgspec.DecodeError as error:
        raise UsageError(f"standard input is not the demo's JSON line: {error}") from error
    if faults := result.faults():
        raise DownloadError("; ".join(faults))


if __name__ == "__main__":
    run_app(app)
