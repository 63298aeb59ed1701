"""What read commands print is plain, has a schema, and costs nothing to import."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys

from timelab import views
from timelab.schemas import DOCUMENTS


def test_every_view_is_a_frozen_dataclass_with_a_docstring() -> None:
    found = [each for _, each in inspect.getmembers(views, inspect.isclass) if each.__module__ == views.__name__]
    assert len(found) > 5
    for view in found:
        assert dataclasses.is_dataclass(view) and view.__dataclass_params__.frozen, view  # type: ignore[attr-defined]
        assert (view.__doc__ or "").startswith(("Is ", "Says ")), view


def test_read_commands_have_a_schema() -> None:
    """O1."""
    assert {"trace", "diff", "verify", "replay"} <= DOCUMENTS.keys()


def test_views_load_nothing_heavy() -> None:
    """S3: `timelab log` has 0.1 s."""
    heavy = "{'pydantic', 'pygit2', 'jsonschema', 'yaml'}"
    code = f"import sys, timelab.views; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
