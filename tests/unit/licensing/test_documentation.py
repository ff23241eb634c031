from pathlib import Path

from client_lib.wire.payment_token import REASONS
from client_lib.wire.problem import ProblemType
from licensing.http.api import openapi_schema
from licensing.http.problems import STATUSES

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol"


def test_every_problem_type_is_documented_with_its_status() -> None:
    text = (PROTOCOL / "licensing.md").read_text()
    for type_ in ProblemType:
        name = type_.value.rpartition(":")[2]
        assert f"| `{name}` | {STATUSES[type_][0]}" in text, name


def test_every_call_is_documented() -> None:
    text = (PROTOCOL / "licensing.md").read_text()
    for path, methods in openapi_schema()["paths"].items():
        for method in methods:
            call = f"`{method.upper()} {path.replace('{audio_format}', '{format}')}"
            assert call in text, call


def test_every_reason_to_refuse_a_token_is_documented() -> None:
    text = (PROTOCOL / "payment-token.md").read_text()
    for reason in REASONS:
        assert f"| `{reason}` |" in text, reason
