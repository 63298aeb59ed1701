"""A repository with a committed spec, for the tests of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import Lab, make_lab


@pytest.fixture
def lab(repo: Path) -> Lab:
    return make_lab(repo)
