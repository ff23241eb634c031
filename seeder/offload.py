"""The offload policy: how fast a node uploads to one swarm. Pure: values in, values out.

A byte that a customer could get from another customer is wasted on a seeder's line. So a swarm has
the node's whole budget while some piece is held by no customer ("less than one copy"), and a
trickle afterwards: with the seeder resting at 20 KB/s, 8 customers finished as soon as with plain
libtorrent, for 1.39 copies of the album instead of 1.80.

No customer waits for the policy. Whoever gains next to nothing while the node rests (behind a
firewall, not unchoked yet, beside slow customers) ends the rest; the node rests again after a
while, and each time that this goes wrong it waits twice as long before it tries.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

UNLIMITED = 0
"""A rate of 0 bytes/s means no limit, as in libtorrent."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A connected customer. `peer` tells it from others; bit i of `pieces` is piece i."""

    peer: tuple[str, int]
    pieces: int
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Swarm:
    """One torrent as a node sees it: only customers, never other central seeders."""

    pieces_total: int
    piece_length_bytes: int
    customers: tuple[Customer, ...]


@dataclass(frozen=True, slots=True)
class Tuning:
    """The policy's figures. A customer must gain twice the trickle in a window to be well."""

    trickle_bytes_s: int = 20_000
    window_s: float = 5.0
    first_recovery_s: float = 10.0
    longest_recovery_s: float = 300.0


class Reason(enum.StrEnum):
    """Why a swarm gets what it gets."""

    NO_CUSTOMERS = "no customers"
    LONE_CUSTOMER = "lone customer"
    PIECES_MISSING = "pieces that no customer has"
    CUSTOMER_STARVES = "a customer gains too little"
    CUSTOMERS_CARRY = "customers carry it"


@dataclass(frozen=True, slots=True)
class Window:
    """When we began to watch a customer, and how many pieces it had then."""

    since_s: float
    pieces: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What the policy remembers of a swarm between two decisions."""

    windows: Mapping[tuple[str, int], Window] = field(default_factory=lambda: MappingProxyType({}))
    full_until_s: float = float("-inf")
    recovery_s: float = 0.0
    """How long the last recovery was; 0 after a rest that went well."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Upload limit in bytes/s (0: none), why, and what to remember for the next decision."""

    upload_limit_bytes_s: int
    reason: Reason
    memory: Memory


def held_by_customers(swarm: Swarm) -> int:
    """Bitmap of the pieces that at least one connected customer holds."""
    held = 0
    everything = (1 << swarm.pieces_total) - 1
    for customer in swarm.customers:
        held |= everything if customer.complete else customer.pieces
    return held & everything


def decide(
    swarm: Swarm,
    memory: Memory,
    *,
    budget_bytes_s: int,
    now_s: float,
    tuning: Tuning | None = None,
) -> Decision:
    """Decide on one swarm. `budget_bytes_s` is the node's, 0 for no limit; `now_s` any clock."""
    tuning = tuning or Tuning()
    must = _must_be_full(swarm)
    if must is not None:
        # Nobody is watched while the node gives everything: a rest starts with fresh windows.
        return Decision(
            budget_bytes_s,
            must,
            Memory(full_until_s=memory.full_until_s, recovery_s=memory.recovery_s),
        )
    if now_s < memory.full_until_s:
        return Decision(budget_bytes_s, Reason.CUSTOMER_STARVES, memory)
    windows, starving = _watch(swarm, memory.windows, now_s, tuning)
    if starving:
        recovery_s = min(
            max(2 * memory.recovery_s, tuning.first_recovery_s), tuning.longest_recovery_s
        )
        resting = Memory(full_until_s=now_s + recovery_s, recovery_s=recovery_s)
        return Decision(budget_bytes_s, Reason.CUSTOMER_STARVES, resting)
    # A rest of several windows without trouble: the next trouble is a new one.
    rested_s = now_s - memory.full_until_s
    recovery_s = 0.0 if rested_s > 6 * tuning.window_s else memory.recovery_s
    trickle = tuning.trickle_bytes_s
    limit = trickle if budget_bytes_s == UNLIMITED else min(trickle, budget_bytes_s)
    return Decision(limit, Reason.CUSTOMERS_CARRY, Memory(windows, memory.full_until_s, recovery_s))


def _must_be_full(swarm: Swarm) -> Reason | None:
    if not swarm.customers:
        return Reason.NO_CUSTOMERS
    if len(swarm.customers) == 1:
        return Reason.LONE_CUSTOMER
    if held_by_customers(swarm) != (1 << swarm.pieces_total) - 1:
        return Reason.PIECES_MISSING
    return None


def _watch(
    swarm: Swarm, windows: Mapping[tuple[str, int], Window], now_s: float, tuning: Tuning
) -> tuple[Mapping[tuple[str, int], Window], bool]:
    """Judge every incomplete customer whose window is over, and start its next one."""
    watched: dict[tuple[str, int], Window] = {}
    starving = False
    for customer in swarm.customers:
        if customer.complete:
            continue
        pieces = customer.pieces.bit_count()
        window = windows.get(customer.peer) or Window(now_s, pieces)
        elapsed_s = now_s - window.since_s
        if elapsed_s >= tuning.window_s:
            starving |= _gained_too_little(swarm, window, pieces, elapsed_s, tuning)
            window = Window(now_s, pieces)
        watched[customer.peer] = window
    return MappingProxyType(watched), starving


def _gained_too_little(
    swarm: Swarm, window: Window, pieces: int, elapsed_s: float, tuning: Tuning
) -> bool:
    gained_bytes = (pieces - window.pieces) * swarm.piece_length_bytes
    missing_bytes = (swarm.pieces_total - window.pieces) * swarm.piece_length_bytes
    # Twice the trickle: a customer that lives on the trickle alone is not carried by others.
    return gained_bytes < min(2 * tuning.trickle_bytes_s * elapsed_s, missing_bytes)
