"""The `albumswarm-licensing` application, to which the commands attach themselves."""

import cyclopts

from client_lib import __version__
from client_lib.console import new_app

app = new_app(
    "albumswarm-licensing",
    "Turns payment tokens into licences: who may join which swarm.",
    __version__,
)

Several = cyclopts.Parameter(negative="")
"""An option that may be repeated."""
