"""API keys: how publishers, seeders and trackers show who they are."""

import hashlib
import re
from collections.abc import Callable

from client_lib.errors import CertificateError, UsageError
from client_lib.wire.certificates import HostIdentity, SeederIdentity
from client_lib.wire.problem import ProblemType
from licensing.ledger import ApiKey, Ledger, Role
from licensing.refusal import ROLE_REASON, Refusal

KEY_PREFIX = "askey_"
"""So that a key in the wrong place is recognised by people and by secret scanners."""

_KEY = re.compile(KEY_PREFIX + r"[A-Za-z0-9_-]{43}")


def new_api_key(
    role: Role, key_id: str, hosts: tuple[str, ...], *, token: Callable[[int], str]
) -> tuple[str, ApiKey]:
    """Make a key of 256 bits from `token` (as `secrets.token_urlsafe`), and its ledger entry.

    Raises UsageError for an id or host that its certificates could not carry.
    """
    if role is Role.TRACKER and not hosts:
        raise UsageError("a tracker's key needs the tracker's host names: --host")
    if role is Role.PUBLISHER and hosts:
        raise UsageError("a publisher has no host names; --host is for trackers and web seeds")
    try:
        SeederIdentity(key_id)
        if hosts:
            HostIdentity(key_id, hosts)
    except CertificateError as error:
        raise UsageError(str(error).replace("seeder id", "key id")) from error
    secret = KEY_PREFIX + token(32)
    return secret, ApiKey(_hash(secret), key_id, role, hosts)


async def authenticate(ledger: Ledger, secret: str, *, allowed: frozenset[Role]) -> ApiKey:
    """Find the key. Raises Refusal api-key-refused; reason `role` if it may not do this."""
    if not _KEY.fullmatch(secret):
        raise Refusal(ProblemType.API_KEY_REFUSED, "an API key is needed (Authorization: Bearer)")
    key = await ledger.api_key(_hash(secret))
    if key.role not in allowed:
        raise Refusal(
            ProblemType.API_KEY_REFUSED,
            f"a {key.role}'s API key may not do this",
            reason=ROLE_REASON,
        )
    return key


def _hash(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()
