"""A trio run in a thread of its own, and the calls of other threads into it."""

import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

import trio

from client_lib.errors import UsageError

T = TypeVar("T")

THREAD_NAME = "client_lib.blocking"
# A wait without a limit cannot be interrupted by Ctrl-C on Windows.
_LOOK_S = 0.1 if sys.platform == "win32" else None


class PortalClosed(UsageError):
    """The client was closed before, or while the call waited."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("this client is closed: open another one")


class Portal:
    """Runs coroutines of other threads in one trio run. Make it with `open_portal`."""

    def __init__(self) -> None:
        """Start the thread; return when trio runs in it."""
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._crash: BaseException | None = None
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._waiting: set[_Call[Any] | Held[Any]] = set()
        # A daemon: a thread of the caller's that never leaves its block must not keep the
        # interpreter from ending. Whatever it is killed in can be gone on with.
        threading.Thread(target=self._run, name=THREAD_NAME, daemon=True).start()
        _wait(self._begun)

    def call(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Await `fn()` in the trio run, and return or raise what it does.

        Ctrl-C cancels it. Raises PortalClosed.
        """
        call = _Call(fn)
        try:
            self.soon(lambda: self._begin(call))
            _wait(call.ended)
        except BaseException:
            with contextlib.suppress(PortalClosed):
                self.soon(call.scope.cancel)
            raise
        return call.outcome()

    def tell(self, fn: Callable[[], T]) -> T:
        """Call `fn` in the trio run; once that has ended nobody else is there, so here."""

        async def told() -> T:
            await trio.lowlevel.checkpoint_if_cancelled()
            return fn()

        try:
            return self.call(told)
        except PortalClosed:
            _wait(self._ended)
            return fn()

    @contextlib.contextmanager
    def holding(self, manager: AbstractAsyncContextManager[T]) -> Iterator["Held[T]"]:
        """Keep an async context manager entered, by one task, while the block lasts.

        What it raises on the way out comes out of the block, except over an interrupt.
        """
        held = Held(self, manager)
        held.enter()
        try:
            yield held
        except Exception:
            held.leave()  # what made the block fail is told by what it raises, if it does
            raise
        except BaseException as interrupt:
            try:
                held.leave()
            except Exception as error:
                interrupt.add_note(f"at the same time: {error}")
            raise
        else:
            held.leave()

    @contextlib.contextmanager
    def unless_closed(self) -> Iterator[None]:
        """Make nothing of a call that came too late: what it would end has ended."""
        with contextlib.suppress(PortalClosed):
            yield

    def soon(self, fn: Callable[[], object]) -> None:
        """Have `fn` called in the trio run, without waiting. Raises PortalClosed."""
        try:
            if self._token is None:
                raise PortalClosed
            self._token.run_sync_soon(fn)
        except trio.RunFinishedError as error:
            raise PortalClosed from error

    def cancel(self) -> None:
        """End every call and everything held, from any thread, without waiting."""
        with contextlib.suppress(PortalClosed):
            self.soon(self._cancel)

    def close(self) -> None:
        """End the trio run and wait for its thread, even if interrupted meanwhile."""
        self.cancel()
        _wait_to_the_end(self._ended)
        if self._crash is not None:
            raise self._crash

    def _begin(self, call: "_Call[T] | Held[T]") -> None:
        if self._nursery is None or self._nursery.cancel_scope.cancel_called:
            call.end(PortalClosed())
            return
        self._waiting.add(call)
        self._nursery.start_soon(self._carry_out, call)

    async def _carry_out(self, call: "_Call[T] | Held[T]") -> None:
        error: BaseException | None = PortalClosed()
        try:
            with call.scope:
                await call.run()
            error = None
        except trio.Cancelled:
            raise
        except BaseExceptionGroup as group:
            cancelled, others = group.split(trio.Cancelled)
            error = others or error
            if cancelled is not None:
                raise cancelled from None
        except BaseException as raised:  # the caller's to handle, in the caller's thread
            error = raised
        finally:
            self._waiting.discard(call)
            call.end(error)
            del error

    def _cancel(self) -> None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._token = trio.lowlevel.current_trio_token()
            self._begun.set()
            await trio.sleep_forever()

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:
            self._crash = error
        finally:
            self._begun.set()
            for call in tuple(self._waiting):
                call.end(self._crash or PortalClosed())
            self._ended.set()


class _Call(Generic[T]):
    """One call of another thread."""

    def __init__(self, fn: Callable[[], Awaitable[T]]) -> None:
        self.scope = trio.CancelScope()
        self.ended = threading.Event()
        self._fn = fn
        self._value: tuple[T] | None = None
        self._error: BaseException | None = None

    async def run(self) -> None:
        self._value = (await self._fn(),)

    def end(self, error: BaseException | None) -> None:
        self._error = error
        self.ended.set()

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        if self._value is None:
            raise PortalClosed
        return self._value[0]


class Held(Generic[T]):
    """An async context manager that a task of the portal has entered, until it is told to leave."""

    def __init__(self, portal: Portal, manager: AbstractAsyncContextManager[T]) -> None:
        """Use `Portal.holding`."""
        self.scope = trio.CancelScope()
        self._portal = portal
        self._manager = manager
        self._value: tuple[T] | None = None
        self._entered = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._leave = trio.Event()

    @property
    def value(self) -> T:
        """What the context manager gave."""
        if self._value is None:
            raise PortalClosed
        return self._value[0]

    def enter(self) -> None:
        """Wait until it is entered. Raises what entering does."""
        self._portal.soon(lambda: self._portal._begin(self))
        try:
            _wait(self._entered)
        except BaseException:
            self._stop()
            _wait_to_the_end(self._ended)
            raise
        if self._value is None:
            raise self._error or PortalClosed()

    def ask_to_leave(self) -> None:
        """Have it left, without waiting, from any thread. Twice is the same as once."""
        with contextlib.suppress(PortalClosed):
            self._portal.soon(self._leave.set)

    def leave(self) -> None:
        """Have it left, and wait, even if interrupted. Raises what leaving does."""
        self.ask_to_leave()
        _wait_to_the_end(self._ended, self._stop)
        if self._error is not None and not isinstance(self._error, PortalClosed):
            raise self._error

    async def run(self) -> None:
        """Enter, stay, leave."""
        async with self._manager as value:
            self._value = (value,)
            self._entered.set()
            await self._leave.wait()

    def end(self, error: BaseException | None) -> None:
        """Remember how it ended."""
        self._error = error
        self._entered.set()
        self._ended.set()

    def _stop(self) -> None:
        with contextlib.suppress(PortalClosed):
            self._portal.soon(self.scope.cancel)


@contextlib.contextmanager
def open_portal() -> Iterator[Portal]:
    """Run trio in a thread while the block lasts."""
    portal = Portal()
    try:
        yield portal
    finally:
        portal.close()


def _wait(event: threading.Event) -> None:
    while not event.wait(_LOOK_S):
        pass


def _wait_to_the_end(
    event: threading.Event, on_interrupt: Callable[[], None] = lambda: None
) -> None:
    """Wait, and raise an interrupt that came meanwhile only afterwards."""
    interrupt: KeyboardInterrupt | None = None
    while not event.is_set():
        try:
            _wait(event)
        except KeyboardInterrupt as error:
            interrupt = error
            on_interrupt()
    if interrupt is not None:
        raise interrupt
