"""The peer: the same HTTPS front end and framework answering a constant.

So a ratio to it shows what tokens, certificates and the ledger cost.
"""

import sys
from pathlib import Path
from typing import Any

import structlog
import trio
from litestar import Litestar, post
from litestar.params import JSONBody

from client_lib.service.process import configure_logs, run_until_signalled
from client_lib.wire.licensing_api import RedemptionRequest
from licensing.config import load_licensing_config
from licensing.https import bind_sockets, listen_now, new_server_context
from licensing.serving.front_end import FrontEnd


@post("/v1/constant")
async def constant(data: JSONBody[RedemptionRequest]) -> dict[str, str]:
    """Read a body as a redemption's is read, and do nothing with it."""
    del data
    return {"answer": "constant"}


async def serve(data: Path, stop: trio.Event) -> None:
    """Serve with the HTTPS certificate in a service's data folder."""
    context = new_server_context()
    context.load_cert_chain(data / "https.pem")
    sockets = await bind_sockets(load_licensing_config(data, None).listen)
    listen_now(sockets)
    api: Any = Litestar([constant], openapi_config=None, logging_config=None)
    address = f"localhost:{sockets[0].getsockname()[1]}"
    structlog.get_logger().info("serving", address=address)
    await FrontEnd(api, context).serve(sockets, stop)


if __name__ == "__main__":
    configure_logs()
    trio.run(run_until_signalled, lambda stop: serve(Path(sys.argv[1]), stop))
