from __future__ import annotations

import errno

import pytest

from timelab.shell.inside import kernel


def test_a_refusal_names_the_call_and_the_reason() -> None:
    with pytest.raises(OSError, match="mount_setattr: Bad file descriptor") as caught:
        kernel.protect_mount(-1)
    assert caught.value.errno == errno.EBADF


def test_both_machines_have_the_same_calls() -> None:
    assert set(kernel.NUMBERS["x86_64"]) == set(kernel.NUMBERS["aarch64"])
