"""Runs schemathesis, guided by the hub's own description, against a hub that runs.

Owns `fuzz`. Called by the short test and the long one. Every answer must have a documented
status, type, shape and headers, and never be a 5xx.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True)
class Tokens:
    """The credentials that make requests get past the door."""

    personal: str
    cluster: str
    org_id: str
    session: Mapping[str, str] = field(default_factory=dict)  # headers of a browser


def fuzz(url: str, document: dict[str, Any], tokens: Tokens, examples: int) -> Counter[int]:
    """Send `examples` well-formed and as many malformed requests to every operation.

    Returns how often each status came. Raises schemathesis' failure at the first bad answer.
    """
    schema = schemathesis.openapi.from_dict(document)
    # A credential that is made up beside the real one would be all that is ever refused.
    schema.config.generation.update(with_security_parameters=False)
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = cast("Any", found).ok()
            for mode in schemathesis.GenerationMode:
                _fuzz_operation(operation, mode, url, session, tokens, examples, statuses)
    return statuses


def _fuzz_operation(
    operation: Any,
    mode: Any,
    url: str,
    session: requests.Session,
    tokens: Tokens,
    examples: int,
    statuses: Counter[int],
) -> None:
    collector = operation.path.startswith(("/api/ingest", "/api/agent"))
    headers = {"Authorization": f"Bearer {tokens.cluster if collector else tokens.personal}"}
    if operation.path.startswith("/api/session"):
        headers = dict(tokens.session)
    # A batch is taken whole: a malformed event in it is an item of the answer, not a refusal.
    is_batch = operation.path.startswith("/api/ingest") or operation.path.endswith("/audit/events")
    refuses = mode.value == "negative" and not is_batch
    checks = [*CHECKS, negative_data_rejection] if refuses else CHECKS

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        if "org_id" in case.path_parameters and mode.value == "positive":
            case.path_parameters["org_id"] = tokens.org_id
        if case.path.endswith("/follow"):
            case.query = {**(case.query or {}), "wait": "0"}
        response = case.call(base_url=url, session=session, headers=headers, timeout=60)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=checks)

    # An operation that takes nothing (or any text) has no malformed request.
    with suppress(Unsatisfiable) if mode.value == "negative" else nullcontext():
        run()
