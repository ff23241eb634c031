"""The policy against simulated swarms: what must hold whatever customers do."""

import math
import random
from array import array

from hypothesis import given
from hypothesis import strategies as st

from seeder.spread import Customer, Spread, Tuning

PIECE_BYTES = 1 << 18


def spread(
    pieces: int, *, floor: float = 0.0, unspread: int = 8, seed: int = 1, window: int = 1 << 20
) -> Spread:
    sizes = array("I", [PIECE_BYTES] * pieces)
    tuning = Tuning(floor_bytes_s=floor, window_bytes=window, unspread_bytes=unspread * PIECE_BYTES)
    return Spread(sizes, PIECE_BYTES, tuning, rng=random.Random(seed))


def holds(customer: Customer) -> set[int]:
    return {piece for piece, has in enumerate(customer.have) if has}


def test_lone_customer_is_given_everything_once() -> None:
    swarm = spread(50)
    customer = swarm.join(0.0)
    given_pieces: list[int] = []
    while granted := swarm.grant(customer):
        given_pieces += granted
        swarm.gained(customer, granted)
    assert sorted(given_pieces) == list(range(50))
    assert customer.complete
    assert swarm.leechers == 0


def test_who_is_alone_is_given_files_from_their_beginnings_and_a_crowd_pieces_at_random() -> None:
    swarm = spread(200)
    first = swarm.join(0.0)
    early = [*swarm.grant(first)]
    swarm.gained(first, early)
    assert early == [0, 1, 2, 3]
    second = swarm.join(1.0)
    crowded = [*swarm.grant(first), *swarm.grant(second)]
    assert len(set(crowded)) == 8
    assert crowded != sorted(crowded)
    swarm.leave(first)
    swarm.gained(second, crowded[4:])
    lost = {*early, *crowded[:4]}
    assert swarm.grant(second) == [0, 1, 2, 3], "what had left with the first is fresh again"
    assert lost.isdisjoint(crowded[4:])


def test_window_bounds_what_is_under_way() -> None:
    swarm = spread(50)
    customer = swarm.join(0.0)
    assert len(swarm.grant(customer)) == 4
    assert swarm.grant(customer) == []


def test_fresh_pieces_are_given_to_one_customer_each() -> None:
    swarm = spread(64)
    customers = [swarm.join(0.0) for _ in range(8)]
    granted = [piece for customer in customers for piece in swarm.grant(customer)]
    assert len(granted) == len(set(granted)) == 32


def test_who_does_not_pass_on_gets_no_more_while_others_are_there() -> None:
    swarm = spread(64, unspread=3)
    hoarder, other = swarm.join(0.0), swarm.join(0.0)
    swarm.gained(hoarder, swarm.grant(hoarder))
    assert swarm.grant(hoarder) == []
    passed_on = min(hoarder.unspread)
    assert swarm.gained(other, [passed_on]) == {hoarder}
    still_held_alone = len(hoarder.unspread)
    swarm.gained(other, list(hoarder.unspread))
    assert still_held_alone == 3
    assert swarm.grant(hoarder)


def test_customers_in_need_are_given_copies_and_others_are_not() -> None:
    swarm = spread(4, floor=100_000)
    giver, poor = swarm.join(0.0), swarm.join(0.0)
    swarm.gained(giver, swarm.grant(giver))
    swarm.measure(5.0)
    assert giver.gain_bytes_s > 100_000 > poor.gain_bytes_s
    assert len(swarm.grant(poor)) == 4
    swarm.gained(poor, [0])
    swarm.measure(5.5)
    assert poor.in_need  # its window is not over yet


def test_generous_policy_gives_copies_to_all_and_rare_pieces_first() -> None:
    swarm = spread(40, floor=math.inf, window=PIECE_BYTES * 10)
    a, b, late = swarm.join(0.0), swarm.join(0.0), swarm.join(0.0)
    swarm.gained(a, range(40))
    swarm.gained(b, range(20))
    granted = swarm.grant(late)
    assert len(granted) == 10
    assert all(piece >= 20 for piece in granted)


def test_what_left_with_a_customer_is_given_again() -> None:
    swarm = spread(4)
    quitter, other = swarm.join(0.0), swarm.join(0.0)
    swarm.gained(quitter, swarm.grant(quitter)[:2])
    assert swarm.grant(other) == []
    swarm.leave(quitter)
    assert sorted(swarm.grant(other)) == [0, 1, 2, 3]


def test_seeders_that_share_a_swarm_give_different_fresh_pieces() -> None:
    first, second = spread(20), spread(20)
    first.take_share((0, 2))
    second.take_share((1, 2))
    granted = []
    for swarm in (first, second):
        customer = swarm.join(0.0)
        while pieces := swarm.grant(customer):
            granted += pieces
            swarm.gained(customer, pieces)
    assert sorted(granted) == list(range(20))


def test_who_stands_by_gives_nothing_until_somebody_is_in_need() -> None:
    swarm = spread(8, floor=math.inf)
    swarm.take_share(None)
    customer = swarm.join(0.0)
    assert swarm.grant(customer) == []
    swarm.measure(5.0)
    assert len(swarm.grant(customer)) == 4
    swarm.take_share((0, 1))
    swarm.gained(customer, list(customer.given))
    assert len(swarm.grant(customer)) == 4


def test_withheld_piece_is_given_to_nobody() -> None:
    swarm = spread(4, floor=math.inf)
    customer = swarm.join(0.0)
    assert len(swarm.grant(customer)) == 4
    swarm.withhold(2)
    assert not swarm.may_ask(customer, 2)
    swarm.gained(customer, [0, 1, 3])
    assert swarm.grant(customer) == []
    swarm.offer_again(2)
    assert swarm.grant(customer) == [2]


def test_spare_capacity_helps_who_is_last_and_in_step_with_what_all_have_got() -> None:
    pieces, window = 400, PIECE_BYTES * 400
    swarm = spread(pieces, window=window, unspread=400)
    ahead, middle, last = (swarm.join(0.0) for _ in range(3))
    assert len(swarm.grant(ahead)) == pieces
    swarm.gained(ahead, range(pieces))
    swarm.gained(middle, range(300))
    swarm.gained(last, range(100))
    swarm.measure(1.0)
    assert swarm.grant(last) == []  # the node has other things to do
    swarm.measure(2.0, spare=True)
    assert (ahead.behind, middle.behind, last.behind) == (False, False, True)
    assert swarm.grant(middle) == []
    helped = swarm.grant(last)
    share = Tuning().help_share
    assert len(helped) == math.ceil(share * 800 / 3)  # of a copy, as all have two thirds
    swarm.gained(last, helped)
    swarm.measure(3.0, spare=True)
    assert len(swarm.grant(last)) in (1, 2, 3)  # as they have got a little further


def test_the_last_of_all_is_helped_too() -> None:
    swarm = spread(40, window=PIECE_BYTES * 40, unspread=40)
    ahead, last = swarm.join(0.0), swarm.join(0.0)
    swarm.gained(ahead, swarm.grant(ahead))
    swarm.gained(last, range(35))
    swarm.measure(1.0, spare=True)
    assert len(swarm.grant(last)) == 5


def test_a_byte_is_worth_what_it_reaches_and_more_where_little_is_left() -> None:
    crowded, lonely, small = spread(64), spread(64), spread(16)
    crowd = [crowded.join(0.0) for _ in range(6)]
    lonely.join(0.0)
    small.join(0.0)
    before = lonely.worth
    assert crowded.worth == 36 * before
    assert small.worth == 4 * before
    crowded.gained(crowd[0], range(64))
    assert crowded.worth == before  # copies for those who miss everything


def test_swarms_with_somebody_who_starves_come_first() -> None:
    crowded, lonely = spread(64), spread(64)
    for _ in range(100):
        crowded.join(0.0)
    alone = lonely.join(0.0)
    assert crowded.worth > lonely.worth
    lonely.measure(5.0)
    lonely.measure(5.5)
    assert lonely.worth > crowded.worth
    lonely.gained(alone, range(10))
    lonely.measure(10.0)
    lonely.measure(10.5)
    assert lonely.worth < crowded.worth


def test_who_leaves_what_it_is_given_may_choose_itself() -> None:
    swarm = spread(40, unspread=40)
    customer = swarm.join(0.0)
    given_pieces = set(swarm.grant(customer))
    swarm.measure(5.0, spare=True)
    assert customer.picky
    assert set(swarm.grant(customer)) == set(range(40)) - given_pieces
    assert all(swarm.may_ask(customer, piece) for piece in range(40))
    assert swarm.grant(customer) == []
    other = swarm.join(5.0)
    while granted := swarm.grant(other):  # what it left is fresh again
        swarm.gained(other, granted)
    assert other.complete


@given(st.data())
def test_invariants_hold_whatever_customers_do(data: st.DataObject) -> None:
    pieces = data.draw(st.integers(1, 30), label="pieces")
    floor = data.draw(st.sampled_from([0.0, 1e5, math.inf]), label="floor")
    swarm = spread(pieces, floor=floor, seed=data.draw(st.integers(0, 99)))
    customers: list[Customer] = []
    now_s = 0.0
    for _ in range(data.draw(st.integers(1, 40), label="steps")):
        now_s += 1
        action = data.draw(st.sampled_from(["join", "leave", "gain", "grant", "measure", "share"]))
        some = data.draw(st.sampled_from(customers)) if customers else None
        if action == "join":
            customers.append(swarm.join(now_s))
        elif action == "measure":
            swarm.measure(now_s)
        elif action == "share":
            swarm.take_share(data.draw(st.sampled_from([None, (0, 1), (1, 2), (2, 3)])))
        elif some is None:
            continue
        elif action == "leave":
            customers.remove(some)
            swarm.leave(some)
        elif action == "gain":
            swarm.gained(some, data.draw(st.sets(st.integers(0, pieces - 1), max_size=5)))
        else:
            before = holds(some) | some.given
            granted = swarm.grant(some)
            assert before.isdisjoint(granted)
            assert all(swarm.may_ask(some, piece) for piece in granted)
        assert swarm.customers == set(customers)
        assert swarm.leechers == sum(not customer.complete for customer in customers)
        assert all(len(customer.given) <= 4 for customer in customers)
        assert abs(swarm.copies * pieces - sum(len(holds(c)) for c in customers)) < 1e-6


@given(
    pieces=st.integers(8, 60), uplinks=st.lists(st.integers(1, 4), min_size=2, max_size=6),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_thrifty_crowd_completes_with_one_copy(pieces: int, uplinks: list[int], seed: int) -> None:
    """Customers pass on what they have, some faster; nobody is ever stuck, nothing given twice."""
    rng = random.Random(seed)
    swarm = spread(pieces, seed=seed)
    customers = [swarm.join(0.0) for _ in uplinks]
    sent = 0
    for _ in range(pieces * len(uplinks) * 4):
        for customer in customers:
            granted = swarm.grant(customer)
            sent += len(granted)
        for customer in customers:
            arrived = list(customer.given)[: rng.randrange(1, 4)]
            swarm.gained(customer, arrived)
        for uplink, giver in zip(uplinks, customers, strict=True):
            for _ in range(uplink):
                taker = rng.choice(customers)
                wanted = holds(giver) - holds(taker) - taker.given
                if wanted:
                    swarm.gained(taker, [rng.choice(sorted(wanted))])
        if all(customer.complete for customer in customers):
            break
    assert all(customer.complete for customer in customers)
    assert sent == pieces
