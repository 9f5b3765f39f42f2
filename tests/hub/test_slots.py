"""Places for expensive requests: bounded, given back, and never all in one org's hands."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Gauge
from radar_audit_hub.errors import TooManyRequestsError
from radar_audit_hub.slots import Slots


def slots(limit: int) -> Slots:
    """Make places that no gauge shows."""
    return Slots(limit, "exports")


@pytest.mark.parametrize("limit, of_one_org", [(1, 1), (3, 3), (4, 3), (8, 6), (200, 150)])
def test_one_org_leaves_a_quarter_of_the_places_to_others(limit: int, of_one_org: int) -> None:
    places = slots(limit)
    with ExitStack() as held:
        for _ in range(of_one_org):
            held.enter_context(places.take("org_x"))
        with pytest.raises(TooManyRequestsError), places.take("org_x"):
            pass
        for _ in range(limit - of_one_org):
            held.enter_context(places.take("org_y"))
        with pytest.raises(TooManyRequestsError), places.take("org_z"):
            pass
        assert places.taken == limit
    assert places.taken == 0
    with places.take("org_x"):
        assert places.taken == 1


def test_gauge_shows_how_many_are_taken() -> None:
    registry = CollectorRegistry()
    places = Slots(4, "exports", Gauge("taken", "Places taken", registry=registry))
    with places.take("org_x"), places.take("org_y"):
        assert registry.get_sample_value("taken") == 2
    assert registry.get_sample_value("taken") == 0


def test_place_is_given_back_after_an_error() -> None:
    places = slots(1)
    with pytest.raises(RuntimeError), places.take("org_x"):
        raise RuntimeError
    with places.take("org_x"):
        assert places.taken == 1
