import contextlib
import functools
import os
import time
from collections import Counter

import trio

from tests.patience import PATIENCE_S
from tracker.serving.reactor import READABLE, Reactor


async def test_handlers_that_are_always_ready_take_turns_with_each_other_and_with_tasks() -> None:
    reactor, called = Reactor(turn_s=0), Counter[int]()

    def handler(number: int, _events: int) -> None:
        called[number] += 1

    with contextlib.closing(reactor), contextlib.ExitStack() as stack, trio.fail_after(PATIENCE_S):
        for number in range(5):
            reading, writing = os.pipe()
            stack.callback(os.close, reading)
            stack.callback(os.close, writing)
            os.write(writing, b"x")  # never read
            reactor.watch(reading, READABLE, functools.partial(handler, number))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run)
            while called.total() < 50:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert max(called.values()) - min(called[number] for number in range(5)) <= 1


async def test_turns_are_finished_when_all_who_were_ready_have_been_called() -> None:
    called = list[str]()

    def finish() -> None:
        called.append("finish" if reactor.is_serving else "too late")

    reactor = Reactor(finish=finish)
    with contextlib.closing(reactor), contextlib.ExitStack() as stack, trio.fail_after(PATIENCE_S):
        for _ in range(3):
            reading, writing = os.pipe()
            stack.callback(os.close, reading)
            stack.callback(os.close, writing)
            os.write(writing, b"x")

            def handler(_events: int, reading: int = reading) -> None:
                called.append("ready")
                reactor.forget(reading)

            reactor.watch(reading, READABLE, handler)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run)
            while "finish" not in called:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert called == ["ready", "ready", "ready", "finish"]
    assert not reactor.is_serving


async def test_what_one_handler_closes_another_is_not_called_for() -> None:
    reactor, called = Reactor(), list[int]()
    with contextlib.closing(reactor), contextlib.ExitStack() as stack, trio.fail_after(PATIENCE_S):
        readings = []
        for _ in range(4):
            reading, writing = os.pipe()
            stack.callback(os.close, reading)
            stack.callback(os.close, writing)
            os.write(writing, b"x")
            readings.append(reading)

        def handler(_events: int) -> None:
            called.append(1)
            for reading in readings:
                reactor.forget(reading)

        for reading in readings:
            reactor.watch(reading, READABLE, handler)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run)
            while not called:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert called == [1]


async def test_the_clock_is_that_of_the_turn() -> None:
    reactor = Reactor()
    with contextlib.closing(reactor):
        before_s = time.monotonic()
        reactor.look_at_the_clock()
        assert before_s <= reactor.now_s <= time.monotonic()
