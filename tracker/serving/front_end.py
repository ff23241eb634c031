"""The front end: a bounded number of connections, from every door, answered in turn."""

import errno
import socket
import time
from collections.abc import Callable, Sequence

import structlog
import trio

from tracker.serving.connection import Connection, Sends
from tracker.serving.doors import Door
from tracker.serving.exchange import Respond, RespondAgain, Waiting
from tracker.serving.head import HeadRefused
from tracker.serving.patience import Patience
from tracker.serving.reactor import READABLE, Reactor

_ACCEPTS_PER_TURN = 16
_STOPPING_S = 2.0
_LOOK_AFTER_S = 0.5
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class FrontEnd:
    """Serves clients, at most `max_connections` at a time.

    When all are taken, the connection that has waited longest for its client makes room: slow
    clients cannot keep quick ones out. Those whose answer is waited for are not cut.
    """

    def __init__(
        self,
        respond: Respond,
        *,
        respond_again: RespondAgain = lambda *_: None,
        count: Callable[[str], None],
        max_connections: int,
        patience: Patience,
        max_awaited: int = 1_024,
    ) -> None:
        """Take what answers a request.

        At most `max_awaited` answers are waited for at a time, and no more than every second
        connection does.
        """
        self.respond = respond
        self.respond_again = respond_again
        self.patience = patience
        self.count = count
        self._max_connections = max_connections
        self._max_awaited = min(max_awaited, max_connections // 2)
        self._reactor = Reactor(finish=self._send_answers)
        self._sending: list[Sends] = []
        self._waiting: dict[Connection, None] = {}
        self._open: set[Connection] = set()
        self._awaited = 0
        self._answers: trio.Nursery | None = None
        self._stopped = False
        self._empty = trio.Event()

    @property
    def now_s(self) -> float:
        """Monotonic time."""
        return self._reactor.now_s

    async def serve(self, doors: Sequence[Door], stop: trio.Event) -> None:
        """Serve until `stop`, then let answers that are on their way arrive. Once only.

        Closes the doors' sockets.
        """
        try:
            async with trio.open_nursery() as answers, trio.open_nursery() as nursery:
                self._answers = answers
                self._open_doors(doors)
                nursery.start_soon(self._reactor.run)
                nursery.start_soon(self._look_after, doors)
                await stop.wait()
                self._close_doors(doors)
                self._stopped = True
                for connection in list(self._open):
                    connection.stop()
                with trio.move_on_after(_STOPPING_S):
                    if self._open:
                        await self._empty.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._close_doors(doors)
            for connection in list(self._open):
                connection.close()
            self.close()

    def close(self) -> None:
        """Let go of what a front end holds that never serves. `serve` does so itself."""
        self._reactor.close()

    def watch(self, connection: Connection, events: int) -> None:
        """Call `connection.on_ready` for these events only."""
        self._open.add(connection)
        self._reactor.watch(connection.descriptor, events, connection.on_ready)

    def waits(self, connection: Connection) -> None:
        """From now on it waits for its client, if it did not already."""
        self._waiting.setdefault(connection)

    def waits_anew(self, connection: Connection) -> None:
        """From now on it waits for its client, whatever it did."""
        waiting = self._waiting
        waiting.pop(connection, None)
        waiting[connection] = None

    def is_busy(self, connection: Connection) -> None:
        """It waits for its client no longer."""
        self._waiting.pop(connection, None)

    def sends_later(self, sender: Sends) -> bool:
        """Call `sender.send_now` when everybody who was ready has been heard.

        In a row, answers cost 2 µs less each: the code of the kernel's TCP is in the CPU's caches,
        and a proxy that gets many of them is woken up once.
        """
        if self._reactor.is_serving:
            self._sending.append(sender)
            return True
        return False

    def left(self, connection: Connection) -> None:
        """It is about to close its socket."""
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._open.remove(connection)
            self._reactor.forget(connection.descriptor)
            if self._stopped and not self._open:
                self._empty.set()

    def await_answer(self, connection: Connection, waiting: Waiting, keep_alive: bool) -> bool:
        """Call `connection.answered` when it is there; False if too many wait already."""
        if self._answers is None or self._stopped or self._awaited >= self._max_awaited:
            waiting.close()
            return False
        self._awaited += 1
        connection.scope = trio.CancelScope()
        self._answers.start_soon(self._await, connection, connection.scope, waiting, keep_alive)
        return True

    async def _await(
        self, connection: Connection, scope: trio.CancelScope, waiting: Waiting, keep_alive: bool
    ) -> None:
        try:
            with scope:
                try:
                    answer = await waiting
                    self._reactor.look_at_the_clock()
                    connection.answered(answer, keep_alive=keep_alive)
                except HeadRefused as refused:
                    self.count(refused.count_as)
                    self._reactor.look_at_the_clock()
                    connection.refuse(refused.status, str(refused))
                except Exception:
                    self.count("http_500")
                    structlog.get_logger().exception("request-failed")
                    connection.refuse(500, "internal error")
        finally:
            self._awaited -= 1

    def _send_answers(self) -> None:
        while self._sending:  # an answer that was sent may bring the next one to the same client
            sending, self._sending = self._sending, []
            for sender in sending:
                sender.send_now()

    def _open_doors(self, doors: Sequence[Door]) -> None:
        for door in doors:
            for listening in door.sockets:
                if listening.fileno() >= 0:
                    self._reactor.watch(
                        listening.fileno(), READABLE, self._accepting(listening, door)
                    )

    def _close_doors(self, doors: Sequence[Door]) -> None:
        for door in doors:
            for listening in door.sockets:
                if listening.fileno() >= 0:
                    self._reactor.forget(listening.fileno())
                    listening.close()

    def _accepting(self, listening: socket.socket, door: Door) -> Callable[[int], None]:
        family = listening.family

        def accept(_events: int) -> None:
            for _ in range(_ACCEPTS_PER_TURN):
                try:
                    accepted, address = listening.accept()
                except BlockingIOError:
                    return
                except OSError as error:
                    if error.errno in _OUT_OF_FILES:
                        structlog.get_logger().warning("accept-failed", reason=error.strerror)
                        if not self._make_room():
                            # Until somebody looks after it: it would be ready all the time.
                            self._reactor.forget(listening.fileno())
                    return  # otherwise the client has gone already (ECONNABORTED, …)
                self._admit(accepted, family, address, door)

        return accept

    def _admit(
        self, accepted: socket.socket, family: socket.AddressFamily, address: object, door: Door
    ) -> None:
        if len(self._open) >= self._max_connections and not self._make_room():
            accepted.close()
            return
        host = address[0] if isinstance(address, tuple) else ""
        try:
            door.receive(accepted, family, host, self)
        except OSError:  # gone between accept and here
            accepted.close()

    def _make_room(self) -> bool:
        """Cut the connection that has waited longest for its client, if one waits."""
        self.count("connections_full")
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        longest.close()
        return True

    async def _look_after(self, doors: Sequence[Door]) -> None:
        """Cut clients whose time is up, and open doors again that ran out of files."""
        while True:
            await trio.sleep(_LOOK_AFTER_S)
            now_s = time.monotonic()
            for connection in list(self._waiting):
                if connection.deadline_s <= now_s:
                    self.count("timed_out")
                    connection.close()
            if not self._stopped:
                self._open_doors(doors)
