"""Several tracker processes under one: a supervisor starts them, and starts again what died.

Each worker is told its configuration in one line of its standard input, tells its port in one
line of its standard output, and writes its log to the standard error that they all share. Its
input stays open: when it ends, the supervisor has gone, however it went, and so goes the worker.
"""

import contextlib
import os
import stat
import subprocess
import sys

import msgspec
import structlog
import trio

from client_lib.durable import private_folder
from client_lib.errors import AlbumswarmError, ConfigError
from client_lib.nursery import open_quiet_nursery
from tracker.app import serve
from tracker.config import TrackerConfig, worker_configs

STOPPING_S = 15.0
"""A supervisor's time to stop: more than its workers have."""

_WORKER_STOPPING_S = 10.0
_KILLED_AFTER_S = 12.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 30.0
_STEADY_S = 10.0
_MAX_LINE_BYTES = 1 << 20
_BY_HAND = "a worker is not started by hand: use `serve --workers`"


class WorkerFailed(AlbumswarmError):
    """A worker ended before it had ever served. It has said why, in a line of its own."""

    def __init__(self, number: int, returncode: int) -> None:
        """Take the worker's number and its process's exit code (negative: the signal)."""
        super().__init__(f"worker {number} could not start")
        self.number = number
        self.returncode = returncode


def restart_wait_s(previous_s: float | None, served_s: float) -> float:
    """Seconds before a worker that died is started again: twice `previous_s`, up to half a minute.

    The first wait is short, as customers go elsewhere meanwhile; who served for ten seconds starts
    from there again.
    """
    if previous_s is None or served_s >= _STEADY_S:
        return _FIRST_WAIT_S
    return min(2 * previous_s, _LONGEST_WAIT_S)


async def supervise(
    config: TrackerConfig,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[list[int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep `config.workers` processes serving until `stop`; reports their ports once all serve.

    The first goes ahead, so that what keeps all of them from starting is said once. Raises
    ConfigError, WorkerFailed, StorageError.
    """
    workers = [_Worker(number, own) for number, own in enumerate(worker_configs(config))]
    private_folder(config.data)
    async with open_quiet_nursery() as nursery:
        nursery.start_soon(_cancel_after, stop, nursery.cancel_scope)
        await nursery.start(workers[0].keep_running)
        async with trio.open_nursery() as starting:
            for worker in workers[1:]:
                starting.start_soon(nursery.start, worker.keep_running)
        ports = [worker.port for worker in workers]
        structlog.get_logger().info("workers", ports=ports)
        task_status.started(ports)
    structlog.get_logger().info("workers-stopped", count=len(workers))


async def serve_as_worker(stop: trio.Event) -> None:
    """Serve what standard input says, until `stop` or until that input ends.

    Raises ConfigError, and what `tracker.app.serve` raises.
    """
    if sys.stdin is None or not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        raise ConfigError(_BY_HAND)
    lifeline = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
    async with lifeline, open_quiet_nursery() as nursery:
        config = await received_config(lifeline)

        async def run(task_status: trio.TaskStatus[int]) -> None:
            await serve(config, stop, task_status=task_status)
            nursery.cancel_scope.cancel()

        async def follow() -> None:
            with contextlib.suppress(trio.BrokenResourceError):
                await lifeline.receive_some()  # nothing more comes; only the end
            structlog.get_logger().warning("supervisor-gone")
            stop.set()
            nursery.cancel_scope.deadline = trio.current_time() + _WORKER_STOPPING_S

        nursery.start_soon(follow)
        port = await nursery.start(run)
        with contextlib.suppress(BrokenPipeError):
            os.write(sys.stdout.fileno(), b"%d\n" % port)


def told(config: TrackerConfig) -> bytes:
    """The line that tells a worker its configuration."""
    return msgspec.json.encode(config, enc_hook=str) + b"\n"


async def received_config(lifeline: trio.abc.ReceiveStream) -> TrackerConfig:
    """What a worker is told. Raises ConfigError if it is no configuration."""
    line = await _line(lifeline)
    try:
        return msgspec.json.decode(
            line, type=TrackerConfig, dec_hook=lambda type_, text: type_(text)
        )
    except msgspec.DecodeError as error:
        raise ConfigError(_BY_HAND) from error


async def _line(stream: trio.abc.ReceiveStream) -> bytes:
    """Read one line, or what there is of it before the end."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < _MAX_LINE_BYTES:
        received = await stream.receive_some()
        if not received:
            break
        line += received
    return bytes(line)


async def _cancel_after(stop: trio.Event, scope: trio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


class _Worker:
    """One of the processes, over and over."""

    def __init__(self, number: int, config: TrackerConfig) -> None:
        self._number = number
        self._config = config
        self.port = 0
        """Where it listens, 0 before it ever has."""
        self._serving_since_s = 0.0

    async def keep_running(self, *, task_status: trio.TaskStatus[int]) -> None:
        """Run it for ever; reports its port. Raises WorkerFailed if it never served."""
        wait_s: float | None = None
        while True:
            self._serving_since_s = trio.current_time()
            returncode = await self._run_once(task_status)
            if not self.port:
                raise WorkerFailed(self._number, returncode)
            wait_s = restart_wait_s(wait_s, trio.current_time() - self._serving_since_s)
            structlog.get_logger().error(
                "worker-died", worker=self._number, returncode=returncode, restart_in_s=wait_s
            )
            await trio.sleep(wait_s)

    async def _run_once(self, task_status: trio.TaskStatus[int]) -> int:
        """Run it until it ends; its exit code. Cancelled, it stops the worker first."""
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "tracker", "worker", str(self._number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C reaches the supervisor alone, which stops the workers
        )
        if process.stdin is None or process.stdout is None:
            raise WorkerFailed(self._number, 1)  # cannot be: both are pipes
        async with process.stdin, process.stdout:
            try:
                with contextlib.suppress(trio.BrokenResourceError):  # it has died already
                    await process.stdin.send_all(told(self._config))
                port = await _line(process.stdout)
                if port:
                    structlog.get_logger().info(
                        "worker-started", worker=self._number, pid=process.pid, port=int(port)
                    )
                    self._serves(int(port), task_status)
                return await process.wait()
            finally:
                await _stopped(process)

    def _serves(self, port: int, task_status: trio.TaskStatus[int]) -> None:
        self._serving_since_s = trio.current_time()
        if not self.port:
            self.port = port
            # Started again, it must be where its clients look for it.
            self._config = msgspec.structs.replace(self._config, port=port)
            task_status.started(port)


async def _stopped(process: trio.Process) -> None:
    """Stop a process if it still runs: politely, and after a while by force."""
    if process.poll() is None:
        process.terminate()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(_KILLED_AFTER_S):
                await process.wait()
            if process.poll() is None:
                process.kill()
                await process.wait()
