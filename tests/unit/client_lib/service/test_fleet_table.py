"""The fleet as an operator sees it."""

from rich.console import Console

from client_lib.service.fleet_table import fleet_table
from client_lib.wire.demand import FleetMember


def test_what_nodes_say_of_themselves_steers_no_terminal() -> None:
    fleet = [
        FleetMember("origin-1", ("192.0.2.1", "2001:db8::1"), 6881, 10**8, False, 990),
        FleetMember("[red]\x1b[2J", ("[bold]",), 6882, 0, True, 1005),
    ]
    console = Console(width=120, record=True)
    console.print(fleet_table(fleet, 1000.0))
    one, two = console.export_text().splitlines()[-3:-1]
    assert all(word in one for word in ("2001:db8::1 port 6881", "100.0 MB/s", "serving", "10 s"))
    assert all(word in two for word in ("[red]\ufffd[2J", "[bold]", "not limited", "0 s ago"))
