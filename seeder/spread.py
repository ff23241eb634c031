"""Who is given which piece: the policy that makes a seeder's byte reach many customers.

A seeder that shows all it has is asked for pieces that others are about to pass on: with plain
libtorrent a flash crowd of eight takes 1.8 copies of the album from it. Here a customer is told of
a piece (`have`) only when the piece is meant for it. A *fresh* piece, which no customer has and
none was given, is given once; the others get it from that customer. This is super-seeding (BEP 16)
with the policy on the outside, and without its slow start: several pieces are under way to every
customer, and who passes on quickly gets the next one sooner, so that a customer's share follows
its line.

Copies beyond the first go to customers in need: those who gain less than the policy's floor. With
an infinite floor everybody is always in need, and the seeder gives all it can. And when the whole
album is out and the node has nothing better to do, nearly a fifth of a copy more goes to whoever is
last, little by little: at the end of a download lines lie idle, because what is missing is missing
at a few.

Pure: no clock, no sockets; times and randomness are handed in.
"""

import math
import random
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_CANDIDATES = 24
"""Pieces looked at to find a rare one: a sample, because there may be 100,000."""
_WINDOW_S = 4.0
"""Over which a customer's gain is measured."""
_MB = 1_000_000
_LEAST_WORK_BYTES = _MB
"""Less remaining work than that makes no difference any more."""
_STARVING = 0.1
"""Of the rate that nobody shall fall below: those below this part of it come first on a full line.
With all of it, 24 customers on a line of 2.9 MB/s left a crowd's lines idle for twenty seconds."""
_BEFORE_ALL = 1e6


@dataclass(frozen=True, slots=True)
class Tuning:
    """The policy's figures.

    `floor_bytes_s`: who gains less is in need; infinite for a seeder that gives all it can.
    `window_bytes`: under way to one customer, at least two pieces. `unspread_bytes`:
    fresh pieces that a customer may hold alone before it is given more, while others could pass on
    theirs. `help_share`: of the bytes given for the first time, so many more may help those who
    are behind, in step with what all have got. `min_rate_bytes_s`: swarms with a customer who gains
    less than a tenth of it come first.
    """

    floor_bytes_s: float = 100_000.0
    window_bytes: int = 1 << 20
    unspread_bytes: int = 2 << 20
    help_share: float = 0.18
    min_rate_bytes_s: float = 100_000.0


@dataclass(slots=True, eq=False)
class Customer:
    """A connected customer. Made by `Spread.join`."""

    have: bytearray
    """1 for each piece that it has."""
    missing: int
    given: set[int] = field(default_factory=set)
    """Pieces that it was told of and does not have yet."""
    unspread: set[int] = field(default_factory=set)
    """Pieces that we gave it, that it has, and nobody else."""
    told: bytearray = field(default_factory=bytearray)
    """1 for each piece that it was ever told of: only those may it ask for."""
    picky: bool = False
    """Whether it left what it was given: it wants some of the files only, and chooses itself."""
    in_need: bool = False
    behind: bool = False
    """Whether it misses so much that it is nearer to the last of all than to the average."""
    gained_bytes: int = 0
    gain_bytes_s: float = math.inf
    """Measured; infinite until the first window is over."""
    elsewhere_bytes: int = 0
    """Of what it gained, pieces that we had not told it of."""
    elsewhere_bytes_s: float = 0.0
    """Measured; 0 until the first window is over."""
    window_began_s: float = 0.0
    window_gained_bytes: int = 0
    window_elsewhere_bytes: int = 0

    @property
    def complete(self) -> bool:
        """Whether it has everything."""
        return self.missing == 0


class Spread:
    """One swarm as a node sees it: who has what, and who was given what."""

    def __init__(
        self,
        piece_sizes: "array[int]",
        piece_length_bytes: int,
        tuning: Tuning,
        *,
        rng: random.Random,
    ) -> None:
        """`piece_sizes` in bytes, piece by piece."""
        self._sizes = piece_sizes
        self._tuning = tuning
        self._rng = rng
        self._window = max(2, -(-tuning.window_bytes // piece_length_bytes))
        self._unspread = max(2, -(-tuning.unspread_bytes // piece_length_bytes))
        self.customers: set[Customer] = set()
        self._leechers = 0
        self._held = array("I", bytes(4 * len(piece_sizes)))
        self._under_way = array("I", bytes(4 * len(piece_sizes)))
        self._givers: dict[int, Customer] = {}
        self._withheld: set[int] = set()
        self._first_bytes = self._helped_bytes = 0
        self._help_bytes = 0.0
        self._spare = False
        self._starving = 0
        self.gained_bytes = self.elsewhere_bytes = 0
        """Of all customers, those that have left included."""
        self._share: tuple[int, int] | None = (0, 1)
        self._fresh: deque[int] = deque()
        self._in_order = True  # as in the files; otherwise at random
        self._find_fresh()

    def take_share(self, share: tuple[int, int] | None) -> None:
        """Give fresh pieces out as number `share[0]` of `share[1]` seeders; None: only stand by.

        Who stands by helps customers in need, and nobody else.
        """
        if share != self._share:
            self._share = share
            self._find_fresh()

    def tune(self, tuning: Tuning) -> None:
        """Go by another floor from the next measurement on."""
        self._tuning = tuning

    @property
    def copies(self) -> float:
        """Copies of the album among the customers: pieces held, over pieces."""
        return sum(self._held) / len(self._held)

    @property
    def leechers(self) -> int:
        """Customers that miss something."""
        return self._leechers

    def join(self, now_s: float) -> Customer:
        """Add a customer that has nothing, as far as we know."""
        count = len(self._sizes)
        customer = Customer(bytearray(count), count, told=bytearray(count), window_began_s=now_s)
        self.customers.add(customer)
        self._leechers += 1
        return customer

    def leave(self, customer: Customer) -> None:
        """Forget a customer. Pieces that it alone had or was given are fresh again."""
        if customer not in self.customers:
            return
        self.customers.discard(customer)
        self._leechers -= not customer.complete
        lost = [piece for piece, has in enumerate(customer.have) if has]
        for piece in lost:
            self._held[piece] -= 1
        for piece in customer.given:
            self._under_way[piece] -= 1
            lost.append(piece)
        for piece in customer.given | customer.unspread:
            self._givers.pop(piece, None)
        self._fresh.extendleft(
            piece for piece in lost if self._is_ours(piece) and not self._is_stale(piece)
        )
        self._in_order = False
        customer.given.clear()
        customer.unspread.clear()

    def gained(
        self, customer: Customer, pieces: Iterable[int], *, earlier: bool = False
    ) -> set[Customer]:
        """A customer has got pieces, from whomever; `earlier`: it had them when it came.

        Returns those who passed on what we gave them: they may be given more.
        """
        givers: set[Customer] = set()
        for piece in pieces:
            if customer.have[piece]:
                continue
            customer.have[piece] = 1
            customer.missing -= 1
            self._leechers -= customer.complete
            self._held[piece] += 1
            if not earlier:
                self._count_gain(customer, piece)
            if piece in customer.given:
                customer.given.discard(piece)
                self._under_way[piece] -= 1
                if self._held[piece] == 1:
                    customer.unspread.add(piece)
                    self._givers[piece] = customer
            if self._held[piece] > 1:
                giver = self._givers.pop(piece, None)
                if giver is not None:
                    giver.unspread.discard(piece)
                    givers.add(giver)
        return givers

    def grant(self, customer: Customer) -> list[int]:
        """Pieces that the customer shall be told of now."""
        granted: list[int] = []
        if customer not in self.customers or customer.complete:
            return granted
        if customer.picky:
            return self._tell_all(customer)
        alone = self._leechers == 1  # nobody to pass anything on to
        if alone != self._in_order:
            self._arrange(in_order=alone)
        while len(customer.given) < self._window:
            piece = None
            if alone or len(customer.unspread) < self._unspread:
                piece = self._next_fresh()
            if piece is not None:
                self._first_bytes += self._sizes[piece]
            elif customer.in_need or self._gives_all:
                piece = self._rare(customer)
            elif self._may_help(customer):
                piece = self._rare(customer)
                helped_bytes = self._sizes[piece] if piece is not None else 0
                self._helped_bytes += helped_bytes
                self._help_bytes -= helped_bytes
            if piece is None:
                break
            customer.given.add(piece)
            customer.told[piece] = 1
            self._under_way[piece] += 1
            granted.append(piece)
        return granted

    def may_ask(self, customer: Customer, piece: int) -> bool:
        """Whether a request for a piece is one that we invited."""
        return piece < len(customer.told) and bool(customer.told[piece])

    def withhold(self, piece: int) -> None:
        """Give a piece to nobody: we do not have it as it should be."""
        self._withheld.add(piece)
        for customer in self.customers:
            customer.told[piece] = 0
            if piece in customer.given:
                customer.given.discard(piece)
                self._under_way[piece] -= 1

    def offer_again(self, piece: int) -> None:
        """End `withhold`."""
        self._withheld.discard(piece)
        if self._is_ours(piece) and not self._is_stale(piece):
            self._fresh.append(piece)

    def measure(self, now_s: float, *, spare: bool = False) -> None:
        """Note what each customer gains, and who is behind. Call it every second or so.

        `spare`: whether the node could upload more than it is asked for.
        """
        self._spare = spare
        self._starving = 0
        missing = [customer.missing for customer in self.customers]
        average, most = sum(missing) / max(1, len(missing)), max(missing, default=0)
        # Not at once when the album is out: who will be the last shows later.
        progress = 1 - average / len(self._sizes)
        share = self._tuning.help_share * progress
        self._help_bytes = share * self._first_bytes - self._helped_bytes
        for customer in self.customers:
            customer.behind = 2 * customer.missing > average + most
            if not customer.complete:
                self._starving += customer.gain_bytes_s < _STARVING * self._tuning.min_rate_bytes_s
            elapsed_s = now_s - customer.window_began_s
            if elapsed_s < _WINDOW_S:
                continue
            gained = customer.gained_bytes - customer.window_gained_bytes
            customer.gain_bytes_s = gained / elapsed_s
            elsewhere = customer.elsewhere_bytes - customer.window_elsewhere_bytes
            customer.elsewhere_bytes_s = elsewhere / elapsed_s
            customer.in_need = customer.gain_bytes_s < self._tuning.floor_bytes_s
            if spare and not gained and customer.given:
                self._let_choose(customer)
            customer.window_began_s, customer.window_gained_bytes = now_s, customer.gained_bytes
            customer.window_elsewhere_bytes = customer.elsewhere_bytes

    def _count_gain(self, customer: Customer, piece: int) -> None:
        size_bytes = self._sizes[piece]
        customer.gained_bytes += size_bytes
        self.gained_bytes += size_bytes
        if piece not in customer.given:
            customer.elsewhere_bytes += size_bytes
            self.elsewhere_bytes += size_bytes

    def _let_choose(self, customer: Customer) -> None:
        customer.picky = True
        for piece in customer.given:
            self._under_way[piece] -= 1
        self._fresh.extend(
            piece for piece in customer.given if self._is_ours(piece) and not self._is_stale(piece)
        )
        customer.given.clear()

    def _tell_all(self, customer: Customer) -> list[int]:
        told = [
            piece
            for piece in range(len(self._sizes))
            if not (customer.told[piece] or customer.have[piece] or piece in self._withheld)
        ]
        for piece in told:
            customer.told[piece] = 1
        return told

    @property
    def worth(self) -> float:
        """What a byte of ours is worth here, against other swarms; positive.

        Smith's rule (1956): the sum of completion times is least if the jobs with the most
        customers for their remaining work go first. The work is what has to come from here. A
        fresh byte reaches everybody who misses something, a copy one customer (the content
        propagation metric of V-Formation, NSDI 2010, in its simplest form); a crowd counts twice,
        because without fresh pieces its lines lie idle. Whoever gains next to nothing comes first.
        """
        if self._starving:
            return _BEFORE_ALL * self._starving
        if self._has_fresh:
            reached, left = max(1, self._leechers), len(self._fresh)
        else:
            reached = 1
            left = min((c.missing for c in self.customers if not c.complete), default=1)
        return reached**2 / max(left * self._sizes[0], _LEAST_WORK_BYTES) * _MB

    @property
    def _gives_all(self) -> bool:
        return self._share is not None and math.isinf(self._tuning.floor_bytes_s)

    def _may_help(self, customer: Customer) -> bool:
        """Whether to give a customer a copy though it gains enough."""
        return self._spare and customer.behind and self._help_bytes >= 1 and not self._has_fresh

    @property
    def _has_fresh(self) -> bool:
        self._drop_stale()
        return bool(self._fresh)

    def _find_fresh(self) -> None:
        if self._share is None:
            self._fresh.clear()
            return
        number, of = self._share
        # Every load of a release does this, for 400 pieces say, with nobody there.
        fresh: Sequence[int] = range(number, len(self._sizes), of)
        if self.customers or self._withheld:
            fresh = [piece for piece in fresh if not self._is_stale(piece)]
        self._fresh = deque(fresh)
        self._in_order = True

    def _arrange(self, *, in_order: bool) -> None:
        """Lay fresh pieces at random, or for whoever is alone in order: it hashes as they come."""
        self._in_order = in_order
        if in_order:
            self._fresh = deque(sorted(self._fresh))
            return
        # By keys, drawn at once: `shuffle` asks a SystemRandom's kernel for each (0.5 ms against
        # 0.1 for 400 pieces).
        keys = array("I", self._rng.randbytes(4 * len(self._fresh)))
        self._fresh = deque(piece for _, piece in sorted(zip(keys, self._fresh, strict=True)))

    def _is_ours(self, piece: int) -> bool:
        return self._share is not None and piece % self._share[1] == self._share[0]

    def _drop_stale(self) -> None:
        while self._fresh and self._is_stale(self._fresh[0]):
            self._fresh.popleft()

    def _is_stale(self, piece: int) -> bool:
        return bool(self._held[piece] or self._under_way[piece] or piece in self._withheld)

    def _next_fresh(self) -> int | None:
        return self._fresh.popleft() if self._has_fresh else None

    def _rare(self, customer: Customer) -> int | None:
        """A piece that few have and few are given, of those that the customer misses."""
        count = len(self._sizes)
        places = (self._rng.randrange(count) for _ in range(4 * _CANDIDATES))
        sample = [piece for piece in places if self._wants(customer, piece)][:_CANDIDATES]
        if not sample:  # misses so little that chance does not find it
            sample = [piece for piece in range(count) if self._wants(customer, piece)]
        return min(sample, key=self._commonness, default=None)

    def _commonness(self, piece: int) -> int:
        """How many have it or soon will; what is under way to somebody counts for more."""
        return 2 * self._held[piece] + 3 * self._under_way[piece]

    def _wants(self, customer: Customer, piece: int) -> bool:
        return not (customer.have[piece] or piece in customer.given or piece in self._withheld)
