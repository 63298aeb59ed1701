"""A notebook with three runs, made once with the real command and copied for each test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.notebook import Notebook, make_template


@pytest.fixture(scope="session")
def notebook_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a repository with runs, to be copied and not to be touched."""
    return make_template(tmp_path_factory.mktemp("template"), dict(os.environ))


@pytest.fixture
def notebook(notebook_template: Path, tmp_path: Path) -> Notebook:
    """Returns a repository of one's own: two specs, one of them in two versions, and a run of each version."""
    root = tmp_path / "notebook"
    shutil.copytree(notebook_template, root, symlinks=True)
    return Notebook(root)
