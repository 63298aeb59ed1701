"""Logging for the command line masks secrets before anything leaves the process (style O2, O3)."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from timelab.log import set_up

PLANTED = "AKIA" + "QYLPMN5HHHFPZAM2"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    root = logging.getLogger("timelab")
    before = (list(root.handlers), root.level)
    yield
    root.handlers[:], root.level = before[0], before[1]


def test_a_secret_in_a_message_or_an_argument_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(1)
    logging.getLogger("timelab.x").info("the key is aws = %s, %d times", PLANTED, 2)
    said = capsys.readouterr().err
    assert PLANTED not in said
    assert "timelab.x: the key is aws = " in said


def test_once_is_information_and_twice_debugging(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(1)
    logging.getLogger("timelab.x").debug("quiet")
    logging.getLogger("timelab").handlers.pop()
    set_up(2)
    logging.getLogger("timelab.x").debug("loud")
    said = capsys.readouterr().err
    assert "quiet" not in said and "loud" in said
