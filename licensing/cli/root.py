"""The `albumswarm-licensing` application, to which the commands attach themselves."""

from client_lib import __version__
from client_lib.console import EXIT_CODES, new_app

_HELP = f"""Turns payment tokens into licences: who may join which swarm.

1. `albumswarm-licensing init --store com.example.shop` makes a folder with CA, ledger and
   configuration;
2. `albumswarm-licensing serve` serves customers, trackers and seeders from it;
3. `albumswarm-licensing api-key publisher` (`seeder`, `tracker`) lets one of those in.

{EXIT_CODES}
"""

app = new_app(
    "albumswarm-licensing",
    _HELP,
    __version__,
)
