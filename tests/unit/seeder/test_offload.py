from hypothesis import given
from hypothesis import strategies as st

from seeder.offload import (
    Customer,
    Decision,
    Memory,
    Reason,
    Swarm,
    Tuning,
    decide,
    held_by_customers,
)

PIECES = 24
ALL = (1 << PIECES) - 1
BUDGET = 2_000_000
TUNING = Tuning()


@st.composite
def swarms(draw: st.DrawFn) -> Swarm:
    customers = draw(
        st.lists(
            st.tuples(st.integers(0, ALL) | st.just(ALL), st.booleans()), min_size=0, max_size=6
        )
    )
    return Swarm(
        PIECES,
        65_536,
        tuple(
            Customer(("10.0.0.1", port), pieces, complete and pieces == ALL)
            for port, (pieces, complete) in enumerate(customers, 1)
        ),
    )


def first_decision(swarm: Swarm, budget: int = BUDGET) -> Decision:
    return decide(swarm, Memory(), budget_bytes_s=budget, now_s=0)


@given(swarms(), st.sampled_from([0, 5_000, BUDGET]))
def test_full_budget_while_some_piece_is_held_by_no_customer(swarm: Swarm, budget: int) -> None:
    decision = first_decision(swarm, budget)
    if held_by_customers(swarm) != ALL or len(swarm.customers) < 2:
        assert decision.upload_limit_bytes_s == budget
    else:
        assert decision.reason is Reason.CUSTOMERS_CARRY
        assert 0 < decision.upload_limit_bytes_s <= TUNING.trickle_bytes_s
        assert budget == 0 or decision.upload_limit_bytes_s <= budget


@given(st.integers(0, ALL), st.booleans())
def test_lone_customer_always_gets_the_full_budget(pieces: int, complete: bool) -> None:
    swarm = Swarm(PIECES, 65_536, (Customer(("::1", 1), pieces, complete),))
    memory = Memory()
    for second in range(60):
        decision = decide(swarm, memory, budget_bytes_s=BUDGET, now_s=second)
        memory = decision.memory
        assert decision.upload_limit_bytes_s == BUDGET


@given(swarms(), st.lists(st.floats(0.1, 3), min_size=1, max_size=60))
def test_nobody_waits_longer_than_a_window_without_progress(
    swarm: Swarm, steps: list[float]
) -> None:
    """However a frozen swarm looks, a customer that gains nothing gets the budget in a window."""
    memory, now_s, rests_since = Memory(), 0.0, 0.0
    incomplete = any(customer.pieces != ALL for customer in swarm.customers)
    for step in steps:
        decision = decide(swarm, memory, budget_bytes_s=BUDGET, now_s=now_s)
        memory = decision.memory
        if decision.upload_limit_bytes_s == BUDGET:
            rests_since = now_s
        if incomplete:
            assert now_s - rests_since < TUNING.window_s + 2 * 3
        now_s += step


def swarm_with(counts: list[int]) -> Swarm:
    """A complete customer, and others that have the first so many of 1,000 pieces."""
    customers = [Customer(("10.0.0.9", 9), (1 << 1000) - 1, True)]
    customers += [
        Customer(("10.0.0.1", port), (1 << count) - 1, False) for port, count in enumerate(counts)
    ]
    return Swarm(1000, 65_536, tuple(customers))


def run(seconds: int, pieces_per_s: list[float]) -> list[Decision]:
    memory, decisions = Memory(), []
    for second in range(seconds):
        counts = [min(999, int(rate * second)) for rate in pieces_per_s]
        decision = decide(swarm_with(counts), memory, budget_bytes_s=BUDGET, now_s=float(second))
        memory = decision.memory
        decisions.append(decision)
    return decisions


def test_node_rests_while_customers_serve_each_other() -> None:
    decisions = run(60, [8.0, 4.0, 12.0])
    assert {decision.reason for decision in decisions} == {Reason.CUSTOMERS_CARRY}


def test_one_starving_customer_ends_the_rest_though_the_others_are_well() -> None:
    decisions = run(10, [8.0, 0.0, 12.0])
    assert decisions[-1].reason is Reason.CUSTOMER_STARVES
    assert decisions[-1].upload_limit_bytes_s == BUDGET


def test_customer_that_lives_on_the_trickle_alone_counts_as_starving() -> None:
    trickle = TUNING.trickle_bytes_s / 65_536
    assert run(10, [8.0, trickle])[-1].reason is Reason.CUSTOMER_STARVES


def test_rests_become_rare_when_they_keep_going_wrong() -> None:
    decisions = run(1_000, [0.0, 0.0])
    resting = [decision.upload_limit_bytes_s != BUDGET for decision in decisions]
    assert sum(resting[:100]) > sum(resting[-300:])
    assert sum(resting[-300:]) <= 3 * TUNING.window_s


def test_new_trouble_after_a_good_rest_begins_with_a_short_recovery() -> None:
    troubled = Memory(full_until_s=100.0, recovery_s=160.0)
    memory = troubled
    for second in range(100, 140):
        counts = [8 * second, 6 * second]
        decision = decide(swarm_with(counts), memory, budget_bytes_s=BUDGET, now_s=float(second))
        memory = decision.memory
        assert decision.reason is Reason.CUSTOMERS_CARRY
    assert memory.recovery_s == 0.0
