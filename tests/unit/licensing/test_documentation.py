import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from client_lib.wire.payment_token import REASONS
from client_lib.wire.problem import MEDIA_TYPE, Problem, ProblemType
from licensing.config import IssuerConfig, LicensingConfig
from licensing.http.api import openapi_schema
from licensing.http.problems import EVERYWHERE, STATUSES
from licensing.limits import LimitsConfig
from licensing.metrics import Metrics

DOCS = Path(__file__).parents[3] / "docs"
PROTOCOL = DOCS / "protocol"
OPERATIONS = [
    (method, path, operation)
    for path, methods in openapi_schema()["paths"].items()
    for method, operation in methods.items()
]
IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]
# Said once for all calls, or for all calls of devices or nodes.
GENERAL = {*EVERYWHERE, ProblemType.TOO_LARGE, ProblemType.TOO_SLOW}
CREDENTIALS = {ProblemType.UNKNOWN_DEVICE, ProblemType.API_KEY_REFUSED}


def short(type_: ProblemType) -> str:
    return type_.value.rpartition(":")[2]


def test_every_problem_type_is_documented_with_its_status() -> None:
    text = (PROTOCOL / "licensing.md").read_text()
    for type_ in ProblemType:
        assert f"| `{short(type_)}` | {STATUSES[type_][0]}" in text, type_
    documented = re.findall(r"^\| `([a-z-]+)` \| [0-9]{3}", text, re.MULTILINE)
    assert sorted(documented) == sorted(short(type_) for type_ in ProblemType)


def test_every_call_is_documented_and_no_other() -> None:
    text = (PROTOCOL / "licensing.md").read_text()
    calls = {
        f"{method.upper()} {path.replace('{audio_format}', '{format}')}"
        for method, path, _ in OPERATIONS
    }
    headings = "".join(re.findall(r"^### .*$", text, re.MULTILINE))
    documented = {call.partition("?")[0] for call in re.findall(r"`([A-Z]+ /[^`]*)`", headings)}
    assert documented == calls


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_every_refusal_of_a_call_is_in_its_section(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    text = (PROTOCOL / "licensing.md").read_text()
    call = re.escape(f"`{method.upper()} {path.replace('{audio_format}', '{format}')}")
    found = re.search(rf"^### .*{call}[`?](.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    if "Refused like the certificate" in found[1] or "as for a licence certificate" in found[1]:
        return
    for type_ in _problems_of(operation) - GENERAL - CREDENTIALS:
        assert f"`{short(type_)}`" in found[1], type_


def _problems_of(operation: dict[str, Any]) -> set[ProblemType]:
    return {
        ProblemType(example["value"]["type"])
        for response in operation["responses"].values()
        for example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).values()
    }


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_every_body_and_every_problem_has_an_example(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for body in [*bodies, *operation["responses"].values()]:
        for media_type, content in body.get("content", {}).items():
            assert content["examples"], (method, path)
            for name, example in content["examples"].items():
                assert example["value"] is not None
                if media_type == MEDIA_TYPE:
                    problem = msgspec.convert(example["value"], Problem)
                    assert problem.detail
                    assert problem.type.endswith(f":{name}")


def test_every_problem_type_has_an_example_somewhere() -> None:
    shown = {type_ for _, _, operation in OPERATIONS for type_ in _problems_of(operation)}
    assert shown == set(ProblemType) - {ProblemType.NOT_FOUND, ProblemType.METHOD_NOT_ALLOWED}


def test_every_reason_to_refuse_a_token_is_documented() -> None:
    text = (PROTOCOL / "payment-token.md").read_text()
    for reason in REASONS:
        assert f"| `{reason}` |" in text, reason


def test_every_key_of_the_configuration_and_every_metric_is_documented() -> None:
    text = (DOCS / "how-to" / "run-licensing.md").read_text()
    for record in (LicensingConfig, IssuerConfig, LimitsConfig):
        for name in record.__struct_fields__:
            assert re.search(rf"^\|[^|]*`{name}`", text, re.MULTILINE), name
    metrics = Metrics()
    metrics.count_answer("GET", "/healthz", 200, 0.1)
    for line in metrics.exposition().decode().splitlines():
        if line.startswith("# TYPE albumswarm_licensing_"):
            name = line.split()[2].removeprefix("albumswarm_licensing_")
            assert f"| `{name}` |" in text or name.endswith("_created"), name
