"""Skips are told with a remedy, and CI accepts only the known ones."""

from __future__ import annotations

from collections import Counter

from tests.plugins.skips import judge, read_expected


def test_an_unexpected_skip_is_accepted_by_people_and_not_by_ci() -> None:
    reasons = Counter({"needs a unicorn": 1})
    assert judge(reasons, read_expected(), is_ci=False)[0][3]
    assert not judge(reasons, read_expected(), is_ci=True)[0][3]


def test_a_known_skip_tells_its_remedy() -> None:
    (judged,) = judge(Counter({"needs jq": 2}), read_expected(), is_ci=True)
    assert judged == ("needs jq", 2, "apt-get install jq", False)
