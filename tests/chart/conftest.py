"""Fixtures of the chart's tests: helm over a copy of the chart."""

from __future__ import annotations

import pytest

from tests.chart.rendering import Helm


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("chart"))
