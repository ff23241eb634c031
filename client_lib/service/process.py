"""A service as a process: its logs, and stopping on signals."""

import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio


def configure_logs(level: str = "info") -> None:
    """Log one JSON object a line to standard error. Call once, from `main`.

    Values are passed as fields, never formatted into the event, so that nothing secret
    slips into a sentence; exceptions are logged by type and message, without locals.
    """
    log: Any = _LogStream()  # all of a TextIO that is needed
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        # One write a line, with its end: lines of processes that share the pipe do not mix.
        logger_factory=structlog.WriteLoggerFactory(log),
        cache_logger_on_first_use=True,
    )


class _LogStream:
    """Standard error, as far as that works.

    Behind it may be a disk that is full, or nobody any more: that costs lines, not the service.
    """

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


async def run_until_signalled(
    serve: Callable[[trio.Event], Awaitable[None]], *, grace_s: float = 10.0
) -> None:
    """Run `serve(stop)`; on SIGTERM or SIGINT set `stop`, and cancel it after `grace_s`.

    A second signal cancels at once.
    """
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                async for number in signals:
                    if stop.is_set():
                        nursery.cancel_scope.cancel()
                    structlog.get_logger().info("stopping", signal=signal.Signals(number).name)
                    stop.set()
                    nursery.cancel_scope.deadline = trio.current_time() + grace_s

            nursery.start_soon(watch)
            await serve(stop)
            nursery.cancel_scope.cancel()
