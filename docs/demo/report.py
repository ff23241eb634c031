"""The demo's tables for people."""

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from docs.demo.result import DemoResult
from docs.demo.shaping import in_words


def show(result: DemoResult, console: Console) -> None:
    """Print who got how much from whom, and what was refused."""
    table = Table("customer's licence", "seconds", "from seeders", "from customers", "identical")
    for customer in result.customers:
        table.add_row(
            customer.licence,
            f"{customer.seconds:.1f}",
            decimal(customer.bytes_from_seeders),
            decimal(customer.bytes_from_customers),
            "yes" if customer.verified else "NO",
        )
    console.print(table)
    count = len(result.customers)
    console.print(
        f"Seeder sent {decimal(result.seeder_bytes)} for {decimal(result.delivered_bytes)} "
        f"delivered: offload {result.offload:.1%} "
        f"(at most {1 - 1 / count:.1%} with {count} customers starting together; {in_words()})"
    )
    refused = Table("refused", "payload bytes", "because")
    for attack in result.refused:
        refused.add_row(attack.case, str(attack.bytes), attack.reason or "NOT REFUSED")
    console.print(refused)
