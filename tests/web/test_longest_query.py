"""A query of as many terms as there may be is answered in words: no range added to it breaks it."""

from __future__ import annotations

import pytest
from radar_audit_events.query import MAX_TERMS

from tests.support.hub_builder import ORG, HubUnderTest, events_of
from tests.support.pages import reader

PAGE = f"/orgs/{ORG}/activity"


def query(terms: int) -> str:
    """Return a query that finds all that is there."""
    return " ".join(f"-pod:p{number}" for number in range(terms))


@pytest.mark.parametrize("asked_range", ["7d", "all"])
async def test_page_has_room_for_a_range_beside_the_terms(
    hub: HubUnderTest, asked_range: str
) -> None:
    await hub.append(*events_of(3))
    owner = await reader(hub)
    full = await owner.get(PAGE, params={"q": query(MAX_TERMS), "range": asked_range})
    assert full.status == 400
    assert b"expected at most 49 terms beside a time range" in full.body
    fits = await owner.get(PAGE, params={"q": query(MAX_TERMS - 1), "range": asked_range})
    assert fits.status == 200, fits.body


@pytest.mark.parametrize("path", ["", "/facets", "/follow"])
async def test_api_has_room_for_a_range_beside_the_terms(hub: HubUnderTest, path: str) -> None:
    log = f"/api/orgs/{ORG}/audit"
    answer = await hub.get(log + path, params={"q": query(MAX_TERMS), "range": "7d"})
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (400, "invalid_query")
    assert (await hub.get("", params={"q": query(MAX_TERMS)})).status == 200
