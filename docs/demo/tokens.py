"""Payment tokens that must not be redeemed."""

import base64
import datetime as dt
import json
import secrets
from pathlib import Path

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from client_lib.durable import read_file
from client_lib.wire import payment_token
from client_lib.wire.payment_token import LineItem
from client_lib.wire.release import parse_torrent_name, split_torrent_name
from docs.demo.customers import Customer, folder_bytes
from docs.demo.result import RefusedResult
from docs.demo.services import TEST_STORE, DemoError, Network, command

_HOUR = dt.timedelta(hours=1)


def bad_tokens(network: Network, release: str, sold: Customer) -> dict[str, str]:
    """Tokens by the case that they stand for; `sold` has redeemed theirs already."""
    key = load_pem_private_key(read_file(network.licensing_data / "test-store.key.pem"), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise DemoError("the test store's key is not Ed25519")
    kid = json.loads(_decoded(sold.token.split(".")[0]))["kid"]
    now = dt.datetime.now(dt.UTC)
    release_id, audio_format = split_torrent_name(parse_torrent_name(release))

    def mint(
        *,
        audience: str = network.licensing_url,
        issued_at: dt.datetime = now,
        signed_by: Ed25519PrivateKey = key,
    ) -> str:
        return payment_token.mint(
            issuer=TEST_STORE,
            audience=audience,
            subject="attacker",
            token_id=secrets.token_hex(8),
            purchase=secrets.token_hex(8),
            issued_at=issued_at,
            expires_at=issued_at + _HOUR,
            items=(LineItem(release_id, audio_format, 1199, "EUR"),),
            key=signed_by,
            kid=kid,
        )

    return {
        "payment token: expired": mint(issued_at=now - 24 * _HOUR),
        "payment token: another audience": mint(audience="https://another.example"),
        "payment token: signed by another key": mint(signed_by=Ed25519PrivateKey.generate()),
        "payment token: alg none": _unsigned(mint()),
        "payment token: redeemed by another device": sold.token,
    }


async def try_token(network: Network, case: str, token: str, scratch: Path) -> RefusedResult:
    """Redeem on a fresh device, then download all that it got, with the real commands."""
    folder = scratch / secrets.token_hex(4)
    line = command("albumswarm", "redeem", "--data", folder / "data", *network.to_licensing)
    redeemed = await trio.run_process(
        line, stdin=token.encode(), capture_stdout=True, capture_stderr=True, check=False
    )
    line = command(
        *("albumswarm", "get", "--all", "--data", folder / "data", "--into", folder / "music"),
        *("--listen-host", "127.0.0.1", *network.to_licensing),
    )
    with trio.move_on_after(20):
        await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False)
    refused = redeemed.returncode == 3
    reason = redeemed.stderr.decode().strip().removeprefix("albumswarm: error: ")
    return RefusedResult(case, folder_bytes(folder / "music"), reason if refused else "")


def _unsigned(token: str) -> str:
    """The same claims with `alg: none` and no signature (RFC 7519, section 6)."""
    header, claims, _ = token.split(".")
    changed = {**json.loads(_decoded(header)), "alg": "none"}
    encoded = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    return f"{encoded}.{claims}."


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
