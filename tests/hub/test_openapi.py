"""The API's description says what the hub does: routes, actions, shapes, examples."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from radar_audit_events import wire
from radar_audit_events.actions import ACTIONS, ROLES, TARGET_TYPES
from radar_audit_events.event import Event
from radar_audit_hub.audit import answers
from radar_audit_hub.audit.params import FOLLOW_NAMES, LIST_NAMES, MAX_FOLLOW_LIMIT, MAX_LIMIT
from radar_audit_hub.http_errors import _FRAMEWORK, _INTERNAL, _TABLE
from radar_audit_hub.openapi import document
from radar_audit_hub.store.query import StoredEvent

from tests.support.hub_builder import HubUnderTest, events_of, log_path
from tests.support.log_rows import make_event

DOC: dict[str, Any] = json.loads(document())
SCHEMAS: dict[str, Any] = DOC["components"]["schemas"]
REQUESTS = (
    wire.IngestRequest,
    wire.Gap,
    wire.HeartbeatRequest,
    wire.SpoolState,
    wire.UpgradeReport,
)
OPERATIONS = [(m, p, o) for p, item in DOC["paths"].items() for m, o in item.items()]


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Follow a `$ref` of the document."""
    while "$ref" in node:
        found: Any = DOC
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def check(schema: dict[str, Any], value: Any) -> None:
    """Validate a value by a schema of the document."""
    full = {**schema, "components": DOC["components"]}
    validator = jsonschema.Draft202012Validator
    validator(full, format_checker=validator.FORMAT_CHECKER).validate(value)


def test_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOC).validate()
    assert DOC["openapi"] == "3.1.0"


async def test_document_is_served_without_a_token(hub: HubUnderTest) -> None:
    answer = await hub.get("/api/openapi.json", token=None)
    assert (answer.status, answer.body) == (200, document())


async def test_routes_and_paths_are_the_same(hub: HubUnderTest) -> None:
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in hub.app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/")
    }
    assert {(method, path) for method, path, _ in OPERATIONS} == served


def test_actions_roles_and_target_types_are_those_of_the_table() -> None:
    assert SCHEMAS["ActionName"]["enum"] == list(ACTIONS)
    assert SCHEMAS["Event"]["properties"]["target_type"]["enum"] == list(TARGET_TYPES)
    assert DOC["components"]["parameters"]["TargetType"]["schema"]["items"]["enum"] == list(
        TARGET_TYPES
    )
    assert SCHEMAS["Me"]["properties"]["role"]["enum"] == list(ROLES)


def test_codes_are_those_of_the_error_table() -> None:
    rows = [*_TABLE.values(), *_FRAMEWORK.values(), _INTERNAL]
    assert set(SCHEMAS["Problem"]["properties"]["code"]["enum"]) == {row.code for row in rows}


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("Event", StoredEvent),
        ("EventPage", answers.EventPage),
        ("Facets", answers.FacetAnswer),
        ("Count", answers.Count),
        ("Gap", answers.Gap),
        ("Gaps", answers.GapAnswer),
        ("IngestRequest", wire.IngestRequest),
        ("WireEvent", wire.WireEvent),
        ("WireGap", wire.Gap),
        ("IngestAnswer", wire.IngestAnswer),
        ("IngestResult", wire.IngestResult),
        ("HeartbeatRequest", wire.HeartbeatRequest),
        ("SpoolState", wire.SpoolState),
        ("UpgradeReport", wire.UpgradeReport),
        ("HeartbeatAnswer", wire.HeartbeatAnswer),
    ],
)
def test_schema_has_exactly_the_fields_of_its_type(name: str, struct: type[msgspec.Struct]) -> None:
    fields = msgspec.structs.fields(struct)
    assert list(SCHEMAS[name]["properties"]) == [f.encode_name for f in fields]
    omits = struct.__struct_config__.omit_defaults or struct in REQUESTS
    always = {f.encode_name for f in fields if f.required or not omits}
    assert set(SCHEMAS[name].get("required", ())) == always


def test_parameters_are_those_that_are_read() -> None:
    for below, names in (("", LIST_NAMES), ("/follow", FOLLOW_NAMES)):
        found = DOC["paths"][log_path("{org_id}") + below]["get"]["parameters"]
        parameters = [resolve(p) for p in found]
        assert {p["name"] for p in parameters if p["in"] == "query"} == set(names)
    limits = {
        path: p["schema"]["maximum"]
        for _, path, operation in OPERATIONS
        for p in map(resolve, operation.get("parameters", ()))
        if p["name"] == "limit"
    }
    assert limits.pop(log_path("{org_id}", "follow")) == MAX_FOLLOW_LIMIT
    assert set(limits.values()) == {MAX_LIMIT}


def test_every_operation_says_who_may_call_it_and_what_can_go_wrong() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    for _, path, operation in OPERATIONS:
        statuses = set(operation["responses"])
        assert "500" in statuses
        assert any(status < "400" for status in statuses), path
        if operation.get("security", DOC["security"]):
            assert {"401", "429", "503"} <= statuses, path
        if "requestBody" in operation:
            assert {"413", "415", "422"} <= statuses, path


def examples() -> list[tuple[str, dict[str, Any], Any]]:
    """Every example of the document with its schema and where it stands."""
    found: list[tuple[str, dict[str, Any], Any]] = []
    nodes: list[tuple[str, Any]] = [("", DOC)]
    while nodes:
        place, node = nodes.pop()
        if isinstance(node, dict):
            if "example" in node and "schema" in node:
                found.append((place, node["schema"], node["example"]))
            nodes += [(f"{place}/{key}", value) for key, value in node.items() if key != "example"]
        elif isinstance(node, list):
            nodes += [(f"{place}/{index}", value) for index, value in enumerate(node)]
    return found


def test_examples_fit_their_schemas() -> None:
    assert len(examples()) >= 25
    for place, schema, example in examples():
        try:
            check(schema, example)
        except jsonschema.ValidationError as error:  # say which of them
            raise AssertionError(f"{place}: {error.message}") from error


def test_examples_hold_no_token() -> None:
    assert "rhp_" not in json.dumps([example for _, _, example in examples()])
    assert "rhc_" not in json.dumps([example for _, _, example in examples()])


async def test_answers_fit_their_schemas(hub: HubUnderTest) -> None:
    events = [*events_of(2), make_event(8, action="org.updated", actor_user_id=None)]
    (event_id, *_) = await hub.append(*events)
    for path, name in (
        ("", "EventPage"),
        ("?limit=1&include=recorded_at", "EventPage"),
        (event_id, "Event"),
        ("facets", "Facets"),
        ("gaps", "Gaps"),
        ("/api/me", "Me"),
        ("nope", "Problem"),
        ("?q=x:y&", "Problem"),
        ("?limit=0", "Problem"),
    ):
        check(SCHEMAS[name], (await hub.get(path)).json)
    viewer = await hub.add_person(role="viewer")
    check(SCHEMAS["Problem"], (await hub.get("", token=viewer)).json)


def test_event_of_the_library_has_the_documented_form() -> None:
    event = msgspec.structs.replace(make_event(1), seq=4)
    assert isinstance(event, Event)
    check(SCHEMAS["Event"], event.public())
