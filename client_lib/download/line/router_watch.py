"""Tells what the router answered when it was asked for a port."""

from collections.abc import Callable

from client_lib.download.events import PortMapped
from client_lib.swarm.session import PortMapping, Session


class RouterWatch:
    """Turns the session's port mapping into events, each word once."""

    def __init__(self, session: Session, emit: Callable[[PortMapped], None]) -> None:
        """Take the session and whom to tell."""
        self._session = session
        self._emit = emit

    async def run(self) -> None:
        """Tell, for ever."""
        told: PortMapping | None = None
        while True:
            mapping = self._session.port_mapping
            if mapping is not None and mapping != told:
                self._emit(port_mapped(mapping))
            told = mapping
            await self._session.wait_port_mapping()


def port_mapped(mapping: PortMapping) -> PortMapped:
    """Put it in a sentence."""
    if mapping.port is None:
        detail = f"the router opened no port ({mapping.how}: {mapping.failure}); others are called"
    else:
        detail = f"others can call this device on port {mapping.port} ({mapping.how})"
    return PortMapped(port=mapping.port, detail=detail)
