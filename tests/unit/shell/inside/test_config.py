from __future__ import annotations

from timelab.shell.inside import config


def test_the_shapes_are_for_checkers_only() -> None:
    """`typing` costs milliseconds inside; the shapes must not exist at run time."""
    assert not hasattr(config, "Config")
