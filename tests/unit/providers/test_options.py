"""Sampling parameters under timelab's names."""

from __future__ import annotations

import pytest

from timelab.errors import ProviderError
from timelab.providers.base import Request, TokenLogprob
from timelab.providers.options import Options, given, read_options, shortened


def request(**params: object) -> Request:
    return Request("m:one", (), params)


def test_parameters_are_read_and_absent_ones_are_left_to_the_engine() -> None:
    read = read_options(request(temperature=0.5, stop=["a", "b"], seed=1), "m")
    assert read == Options(0.5, None, None, None, ("a", "b"), None, 1)


def test_parameter_that_nobody_knows_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(ProviderError, match="m has no parameter 'temprature'") as caught:
        read_options(request(temprature=0.5), "m")
    assert "temperature" in (caught.value.hint or "")


def test_options_without_a_value_are_not_sent() -> None:
    assert given({"a": None, "b": 0, "c": []}) == {"b": 0, "c": []}


def test_only_as_many_alternatives_are_kept_as_were_asked_for() -> None:
    tokens = [TokenLogprob("a", -1.0, (("a", -1.0), ("b", -2.0)))]
    assert shortened(tokens, None) is None
    assert shortened(tokens, 0) == (TokenLogprob("a", -1.0),)
    assert shortened(tokens, 1) == (TokenLogprob("a", -1.0, (("a", -1.0),)),)
