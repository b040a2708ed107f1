"""How a number was made is told wherever there is such a number."""

from __future__ import annotations

from mobilevit_deploy.report import provenance
from mobilevit_deploy.report.data import Report


def test_numbers_that_are_not_there_are_not_explained(unmeasured: Report, report: Report) -> None:
    assert list(dict(provenance.numbers(unmeasured))) == ["Parity", "Size"]
    assert not {"Memory", "End to end", "Instructions"} & set(dict(provenance.numbers(report)))


def test_those_of_phones_and_emulation_are(everywhere: Report) -> None:
    found = dict(provenance.numbers(everywhere))
    assert {"Memory", "End to end", "Tails"} <= set(found)
    assert "On other devices the same inputs were run" in found["Parity"]
    assert "instruction count and no latency" in found["Instructions"]
    assert found["Latency"].startswith("3 processes an artifact")
