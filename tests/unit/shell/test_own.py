from __future__ import annotations

from timelab.shell.own import own_session


def test_own_session_names_timelab_and_what_it_needs() -> None:
    """A60: and nothing that happens to stand beside it."""
    session = own_session()
    names = {line.partition("@")[0] for line in session.environment.apps}
    assert {"timelab", "pydantic", "click", "pygit2"} <= names
    assert "pytest" not in names
    assert session.record.kind == "self"
    assert own_session() == session
