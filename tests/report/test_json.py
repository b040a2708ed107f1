"""JSON holds everything, in what JSON can hold."""

from __future__ import annotations

import json as stdlib_json

from mobilevit_deploy.report import json
from mobilevit_deploy.report.data import Report


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_every_sample_and_every_verdict_is_in_it(report: Report) -> None:
    content = stdlib_json.loads(json.render(report), parse_constant=refuse)
    assert content["format"] == "mobilevit-deploy/report"
    rows = {row["label"]: row for row in content["rows"]}
    assert rows["fast fp32"]["timed"]["samples_ms"] == [[2.0, 2.1, 1.9]] * 3
    assert rows["fast fp32"]["manifest"]["parity"]["verdict"] == "pass"
    assert rows["silent fp32"]["untimed"]["status"] == "not-timed"


def test_devices_and_emulation_are_in_it(everywhere: Report) -> None:
    rows = {row["label"]: row for row in stdlib_json.loads(json.render(everywhere))["rows"]}
    phone = rows["right fp32 big cores on adb:R58M (adb shell)"]
    assert phone["timed"]["context"] == "adb-shell"
    assert phone["timed"]["peak_bytes"] == 45_000_000
    assert phone["emulated"]["instructions"] == 910_421_573
    assert rows["wrong fp32 on adb:R58M"]["untimed_parity"]["verdict"] == "fail"


def test_what_was_written_is_read_back_the_same(report: Report, everywhere: Report) -> None:
    for each in (report, everywhere):
        assert Report.model_validate_json(json.render(each)) == each


def test_infinite_numbers_are_strings(report: Report) -> None:
    silent = report.rows[-1]
    output = silent.manifest.parity.outputs[0].model_copy(update={"sqnr_db": float("inf")})
    parity = silent.manifest.parity.model_copy(update={"outputs": (output,)})
    row = silent.model_copy(update={"manifest": silent.manifest.model_copy(update={"parity": parity})})
    content = stdlib_json.loads(
        json.render(report.model_copy(update={"rows": (row,)})), parse_constant=refuse
    )
    assert content["rows"][0]["manifest"]["parity"]["outputs"][0]["sqnr_db"] == "Infinity"
