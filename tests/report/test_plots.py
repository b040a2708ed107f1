"""Plots compare what may be compared, and say what they show to those who cannot see them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.report.data import Report
from mobilevit_deploy.report.plots import NARROW_IN, WIDE_IN, front, plots

points = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1)


def texts(drawing: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", drawing)


@given(points)
def test_nothing_lies_below_and_left_of_the_front(found: list[tuple[int, int]]) -> None:
    best = front(found)
    assert best == sorted(set(best))
    for point in set(found):
        beaten = [each for each in best if each != point and each[0] <= point[0] and each[1] <= point[1]]
        assert (point in best) != bool(beaten)


@pytest.mark.parametrize("width", [WIDE_IN, NARROW_IN])
def test_every_place_has_a_panel_of_its_own(everywhere: Report, width: float) -> None:
    drawn = plots(everywhere, width_in=width)
    for name in ("latency", "pareto"):
        told = " ".join(texts(drawn[name]))
        assert "host, Example 9000, 1 thread" in told
        assert "adb:R58M (adb shell), Maker Phone 7" in told


def test_accuracy_is_told_beside_the_names(everywhere: Report) -> None:
    told = texts(plots(everywhere)["pareto"])
    assert "right fp32, SQNR 111.0 dB" in told
    assert "wrong fp32, SQNR 111.0 dB" in told


def test_they_are_described(everywhere: Report) -> None:
    drawn = plots(everywhere)
    assert "right fp32 big cores on adb:R58M (adb shell) median 9.00 ms" in drawn["latency"]
    assert "right fp32 big cores on adb:R58M (adb shell) 2.00 MB, 9.00 ms" in drawn["pareto"]


def test_one_artifact_has_nothing_to_be_weighed_against(report: Report) -> None:
    alone = report.model_copy(update={"rows": report.rows[:1]})
    assert set(plots(alone)) == {"latency", "parity"}


def test_parity_is_drawn_once_an_artifact(everywhere: Report) -> None:
    told = texts(plots(everywhere)["parity"])
    assert told.count("right fp32") == 1
    assert told.count("wrong fp32") == 1
