"""Everything a request may need, wired once by `app`."""

from dataclasses import dataclass

from licensing.authority import Authority
from licensing.catalogue import Catalogue
from licensing.config import Clock
from licensing.ledger import Ledger
from licensing.licences import Licences
from licensing.nodes import Nodes
from licensing.purchases import Purchases
from licensing.readiness import Readiness
from licensing.redemption import Redemptions
from licensing.revocation_list import RevocationLists
from licensing.revocations import Revocations


@dataclass(frozen=True, slots=True)
class Services:
    """The domain behind the HTTP API. `clock` is read once per request."""

    clock: Clock
    ledger: Ledger
    authority: Authority
    redemptions: Redemptions
    purchases: Purchases
    revocations: Revocations
    licences: Licences
    catalogue: Catalogue
    nodes: Nodes
    revocation_lists: RevocationLists
    readiness: Readiness
