"""One client's connection: announces over TCP until somebody has had enough.

A connection is called when its socket is ready, never waits itself, and does as much as it can at
once: of a client that sends its request at once and closes, the reactor never hears.
"""

import enum
import math
import socket
from typing import Protocol

import structlog
import trio

from tracker.serving.exchange import Answer, Request, Respond, RespondAgain, Waiting
from tracker.serving.familiar import Familiars, Recurring
from tracker.serving.head import MAX_HEAD_BYTES, HeadRefused, Heads, Sender, http_response
from tracker.serving.patience import Patience
from tracker.serving.reactor import READABLE, WRITABLE
from tracker.serving.transfer import NOW, NOW_WITH_MORE, READ_BYTES, encoded_answer, received

_UNSENT_BYTES = 65_536  # then a client that asks more has to read first
_LINGER_S = 1.0
_LINGER_BYTES = 65_536


class Sends(Protocol):
    """Who has an answer to send."""

    def send_now(self) -> None:
        """Send what is to be sent, or as much as the client takes, and go on. Raises nothing."""


class Room(Protocol):
    """Where connections are: what the front end is for them."""

    respond: Respond
    respond_again: RespondAgain
    patience: Patience

    @property
    def now_s(self) -> float:
        """Monotonic time."""

    def count(self, what: str) -> None:
        """Count an event."""

    def watch(self, connection: "Connection", events: int) -> None:
        """Call `connection.on_ready` for these events only."""

    def waits(self, connection: "Connection") -> None:
        """From now on it waits for its client, if it did not already."""

    def waits_anew(self, connection: "Connection") -> None:
        """From now on it waits for its client, whatever it did."""

    def is_busy(self, connection: "Connection") -> None:
        """It waits for its client no longer."""

    def sends_later(self, sender: Sends) -> bool:
        """Call `sender.send_now` soon, together with others'; False if it has to do it."""

    def await_answer(self, connection: "Connection", waiting: Waiting, keep_alive: bool) -> bool:
        """Call `connection.answered` when it is there; False if too many wait already."""

    def left(self, connection: "Connection") -> None:
        """It has closed its socket."""


class State(enum.Enum):
    """What a connection does."""

    TALKING = enum.auto()
    ANSWERING = enum.auto()  # waits for its answer
    PARTING = enum.auto()  # the last answer is on its way
    LINGERING = enum.auto()  # swallows what the client still sends
    CLOSED = enum.auto()


# An enumeration's member by its global name: 0.01 µs; as the attribute of its class: 0.13.
_TALKING, _ANSWERING, _PARTING, _LINGERING, _CLOSED = State


class Connection:
    """A client of the plain front end; over TLS, a subclass."""

    __slots__ = (
        "_events",
        "_familiars",
        "_heads",
        "_linger",
        "_received",
        "_room",
        "_scanned_bytes",
        "_sender",
        "_socket",
        "_swallowed_bytes",
        "_unsent",
        "deadline_s",
        "descriptor",
        "scope",
        "state",
    )

    def __init__(
        self,
        transport: socket.socket,
        heads: Heads,
        familiars: Familiars,
        room: Room,
        *,
        allowed_s: float,
    ) -> None:
        """Take a socket, and the time that the client has for its first words.

        `familiars` are requests whose senders are told by themselves or by this connection alone.
        """
        self.descriptor = transport.fileno()
        self.state = _TALKING
        self.deadline_s = room.now_s + allowed_s
        self.scope: trio.CancelScope | None = None
        self._socket = transport
        self._heads = heads
        self._familiars = familiars
        self._room = room
        self._sender: Sender | None = None
        self._received = b""
        self._scanned_bytes = 0
        self._unsent = b""
        self._events = 0
        self._linger = False
        self._swallowed_bytes = 0

    def on_ready(self, events: int) -> None:
        """Go on: the socket is ready, or there is a chance that it is."""
        try:
            if self._unsent:
                if events & ~READABLE:
                    self._flush()
                if self._unsent:
                    return
                self._sent()
            elif self.state is _LINGERING:
                self._swallow()
            else:
                self._read()
        except OSError:  # ssl.SSLError is one
            self._room.count("connection_broken")
            self.close()
        except Exception:
            self._failed()

    def begin(self, received: bytes | None) -> None:
        """Go on from what was received before there was a connection: see `parting.py`."""
        try:
            self._heard(received)
        except OSError:
            self._room.count("connection_broken")
            self.close()
        except Exception:
            self._failed()

    def part(self, unsent: bytes) -> None:
        """Send the rest of an answer, and close."""
        self.state = _PARTING
        self._unsent = unsent
        self.send_now()

    def stop(self) -> None:
        """Close as soon as an answer that is on its way has been sent."""
        if self._unsent and self.state is not _ANSWERING:
            self.state = _PARTING
        else:
            self.close()

    def close(self) -> None:
        """Close the socket, whatever is under way."""
        if self.state is not _CLOSED:
            self.state = _CLOSED
            if self.scope is not None:
                self.scope.cancel()
            self._room.left(self)
            self._socket.close()

    def answered(self, answer: Answer, *, keep_alive: bool) -> None:
        """Send the answer that was waited for, and go on with what has come in meanwhile."""
        self.scope = None
        if self.state is not _ANSWERING:
            return
        self.state = _TALKING if keep_alive else _PARTING
        self._send(_response(answer, keep_alive=keep_alive))

    def refuse(self, status: int, sentence: str) -> None:
        """Say why not, and hang up."""
        if self.state is _CLOSED:
            return
        self.state, self._linger = _PARTING, True
        self._send(http_response(status, sentence.encode() + b"\n", keep_alive=False))

    def _failed(self) -> None:
        """A bug of ours ends this connection, not the reactor."""
        self._room.count("http_500")
        structlog.get_logger().exception("connection-failed")
        self.close()

    def _read(self) -> None:
        self._heard(self._receive())

    def _heard(self, data: bytes | None) -> None:
        if data is None:
            self._wait_for_client(READABLE)
        elif not data:
            self.close()
        elif self.state is _ANSWERING:
            self._received += data
            if len(self._received) > MAX_HEAD_BYTES:
                self.close()  # a client that does not wait for its answers
        elif self._received:
            self._received += data
            self._talk()
        elif not self._answered_again(data):
            self.deadline_s = self._room.now_s + self._room.patience.head_s
            self._received = data
            self._talk()

    def _receive(self) -> bytes | None:
        """What the client has sent; nothing at the end, None if there is nothing now."""
        return received(self._socket)

    def _answered_again(self, data: bytes) -> bool:
        """Answer one whole request that came before, but for its counters; False if it is none."""
        found = self._familiars.find(data)
        if found is None:
            return False
        body = self._room.respond_again(*found)
        if body is None:
            return False
        keep_alive = found[0].keep_alive
        if not keep_alive:
            self.state = _PARTING
        self._send(encoded_answer(body, keep_alive=keep_alive))
        return True

    def _talk(self) -> None:
        """Answer the requests that are there, in order."""
        answers: list[bytes] = []
        answered_bytes = start = 0
        received, room = self._received, self._room
        waiting: Waiting | None = None
        keep_alive = True
        while self.state is _TALKING and answered_bytes < _UNSENT_BYTES:
            try:
                head = self._heads.parse(received, start, self._scanned_bytes)
                if head is None:
                    self._scanned_bytes = len(received) - start
                    break
                self._scanned_bytes = 0
                start += head.length_bytes
                keep_alive = head.keep_alive
                sender = head.sender or self._sender
                if sender is None:
                    raise HeadRefused(403, "no client certificate")
                found = room.respond(Request(sender.certificate_der, head, sender.address))
                if isinstance(found, Recurring):
                    request = received[start - head.length_bytes : start]
                    self._familiars.keep(request, found.familiar, keep_alive=keep_alive)
                    found = found.body
                if isinstance(found, bytes):
                    answer = encoded_answer(found, keep_alive=keep_alive)
                elif isinstance(found, Answer):
                    answer = _response(found, keep_alive=keep_alive)
                else:
                    self.state, waiting = _ANSWERING, found
                    break
                answered_bytes += len(answer)
                answers.append(answer)
                if not keep_alive:
                    self.state = _PARTING
            except HeadRefused as refused:
                room.count(refused.count_as)
                answers.append(self._refusal(refused.status, str(refused)))
            except Exception:
                room.count("http_500")
                structlog.get_logger().exception("request-failed")
                answers.append(self._refusal(500, "internal error"))
        self._received = received[start:] if start else received
        if waiting is not None and not self._answers_later(waiting, keep_alive=keep_alive):
            room.count("http_503")
            answers.append(self._refusal(503, "too many clients are waiting for an answer"))
        if answers:
            self._send(answers[0] if len(answers) == 1 else b"".join(answers))
        else:
            self._wait_for_client(READABLE)

    def _refusal(self, status: int, sentence: str) -> bytes:
        self.state, self._linger = _PARTING, True
        return http_response(status, sentence.encode() + b"\n", keep_alive=False)

    def _answers_later(self, waiting: Waiting, *, keep_alive: bool) -> bool:
        self.deadline_s = math.inf
        self._room.is_busy(self)
        return self._room.await_answer(self, waiting, keep_alive)

    def send_now(self) -> None:
        """Send what is to be sent, or as much as the client takes, and go on."""
        try:
            if self.state is _CLOSED:
                return
            self._flush()
            if self._unsent:
                self.deadline_s = self._room.now_s + self._room.patience.answer_s
                self._wait_for_client(WRITABLE)
            else:
                self._sent()
        except OSError:
            self._room.count("connection_broken")
            self.close()
        except Exception:
            self._failed()

    def _send(self, data: bytes) -> None:
        self._unsent = self._unsent + data if self._unsent else data
        if not self._room.sends_later(self):
            self.send_now()

    def _flush(self) -> None:
        # The last answer waits for the end of the connection, which follows at once: one segment.
        last = self.state is _PARTING and not self._linger
        try:
            sent_bytes = self._socket.send(self._unsent, NOW_WITH_MORE if last else NOW)
        except BlockingIOError:
            return
        self._unsent = self._unsent[sent_bytes:] if sent_bytes < len(self._unsent) else b""

    def _sent(self) -> None:
        """Go on after an answer that the client has got, as far as we can tell."""
        room = self._room
        if self.state is _TALKING:
            if self._received:
                room.is_busy(self)
                self.deadline_s = room.now_s + room.patience.head_s
                self._talk()
            else:
                self.deadline_s = room.now_s + room.patience.idle_s
                room.waits_anew(self)
                self._watch(READABLE)
        elif self.state is _ANSWERING:
            self._watch(READABLE)
        elif self.state is _PARTING and self._linger:
            self._begin_to_linger()
        else:
            self.close()

    def _begin_to_linger(self) -> None:
        """Swallow what the client is still sending: a close would reset, and lose our words."""
        self.state = _LINGERING
        self._unsent = b""
        self.deadline_s = self._room.now_s + _LINGER_S
        self._socket.shutdown(socket.SHUT_WR)
        self._swallow()

    def _swallow(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES, NOW)
        except BlockingIOError:
            self._wait_for_client(READABLE)
            return
        self._swallowed_bytes += len(data)
        if not data or self._swallowed_bytes > _LINGER_BYTES:
            self.close()
        else:
            self._wait_for_client(READABLE)

    def _wait_for_client(self, events: int) -> None:
        if self.state is _CLOSED:
            return
        if self.state is not _ANSWERING:
            self._room.waits(self)
        self._watch(events)

    def _watch(self, events: int) -> None:
        if self._events != events:
            self._events = events
            self._room.watch(self, events)


def _response(answer: Answer, *, keep_alive: bool) -> bytes:
    return http_response(
        answer.status, answer.body, keep_alive=keep_alive, content_type=answer.content_type
    )
