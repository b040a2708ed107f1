"""Numbers keep the digits that mean something, and say what they are."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.timed_artifacts import manifest_of, measurement, parity, timing
from mobilevit_deploy.accuracy.gate import judge
from mobilevit_deploy.accuracy.result import Evaluation, Gate, Score
from mobilevit_deploy.bench.statistics import Estimate, Interval
from mobilevit_deploy.parity import tolerance
from mobilevit_deploy.report import words
from mobilevit_deploy.report.data import Report
from mobilevit_deploy.report.gather import compose


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.012345, "0.0123"),
        (1.0, "1.00"),
        (5.2149, "5.21"),
        (52.149, "52.1"),
        (521.49, "521"),
        (12345.6, "12,346"),
    ],
)
def test_three_digits_mean_something(value: float, written: str) -> None:
    assert words.significant(value) == written


def test_an_interval_has_the_decimals_of_its_value() -> None:
    assert (
        words.interval(Estimate(value=12.34, interval=Interval(low=9.876, high=15.432)))
        == "9.9\N{EN DASH}15.4"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (2.13e-6, "2.1e-6"),
        (8e-7, "8.0e-7"),
        (0.0, "0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (None, "\N{EN DASH}"),
    ],
)
def test_errors_are_written_with_an_exponent(value: float | None, written: str) -> None:
    assert words.scientific(value) == written


def test_an_exact_match_has_no_noise_to_give_in_decibels() -> None:
    assert words.decibels(math.inf) == "exact"
    assert words.decibels(62.84) == "62.8 dB"


def test_what_is_not_all_is_never_rounded_up_to_all() -> None:
    assert words.share(1.0) == "100%"
    assert words.share(0.99999) == "99.9%"


def test_the_headline_counts_artifacts(report: Report, unmeasured: Report, nasty: Report) -> None:
    assert words.headline(report) == "3 of 3 artifacts equal the reference"
    assert words.headline(unmeasured) == "1 of 1 artifact equals the reference"
    assert words.headline(nasty) == "0 of 1 artifact equals the reference"


def test_the_subtitle_names_model_fastest_and_smallest(report: Report) -> None:
    size = "48 \N{MULTIPLICATION SIGN} 32 px"
    assert words.subtitle(report) == (
        f"tiny, {size}. Fastest: fast fp32, 2.00 ms. Smallest: fast fp32, 0.00400 MB."
    )


def test_an_artifact_that_cannot_be_told_from_the_fastest_is_named(tmp_path: Path) -> None:
    manifests = {}
    measured = []
    for name, medians in (("steady", (2.0, 2.0, 2.0)), ("wild", (1.5, 2.2, 3.5))):
        path = tmp_path / f"{name}.timed"
        path.write_text(name)
        manifests[name] = manifest_of(path, parity(), target=name)
        measured += [
            measurement(manifests[name], round=number, outcome=timing(samples_ms=(median,) * 5))
            for number, median in enumerate(medians, start=1)
        ]
    report = compose(manifests, measured, folder="exports", now=datetime(2026, 1, 2, tzinfo=UTC))
    assert "Fastest: steady fp32, 2.00 ms (wild fp32 may be as fast)." in words.subtitle(report)


def test_a_fault_of_another_device_is_told_in_the_headline(everywhere: Report) -> None:
    assert words.headline(everywhere) == (
        "2 of 2 artifacts equal the reference, 1 of them not on every device"
    )
    needed = "logits: best class agrees on 0.00% of inputs, 100% are needed"
    assert words.faults(everywhere) == [
        ("wrong fp32 on adb:R58M", f"It is not right on adb:R58M: {needed}."),
        ("wrong fp32 on emulated cortex-a76", needed),
    ]
    assert words.untimed(everywhere) == []


def test_the_subtitle_says_where_the_fastest_ran(everywhere: Report) -> None:
    on_phone = [row for row in everywhere.rows if row.timed is None or row.timed.device != "host"]
    two = [*on_phone, on_phone[0].model_copy(update={"path": "b.timed"})]
    slower = two[0].timed
    assert slower is not None
    rival = slower.model_copy(update={"ratio": Estimate(value=2.0, interval=Interval(low=1.9, high=2.1))})
    two[-1] = two[-1].model_copy(update={"timed": rival})
    told = words.subtitle(everywhere.model_copy(update={"rows": tuple(two)}))
    assert "9.00 ms on adb:R58M (adb shell)" in told


def test_parity_says_where_it_was_proven(everywhere: Report) -> None:
    assert [words.proof(row) for row in everywhere.rows] == [
        "as at the export by clock 1.0",
        "proven there by clock 1.0 for arm64",
        "as at the export by clock 1.0",
        "run there by clock 1.0",
    ]
    phone = [row for row in everywhere.rows if row.device_parity]
    assert words.proofs(phone) == "Parity checked on adb:R58M by clock 1.0 for arm64, clock 1.0."


def test_instructions_are_counted_in_millions() -> None:
    assert words.millions(910_421_573) == "910.4 M"


def test_what_is_not_known_is_a_dash() -> None:
    for write in (words.memory, words.duration, words.spread, words.millions):
        assert write(None) == words.NOTHING


def test_tolerances_are_put_in_words() -> None:
    assert words.tolerance(tolerance.FP32) == (
        "error at most 1e-4, cosine at least 0.99999, the best class agrees on 100% of inputs, "
        "in segmentation on 99.9% of pixels"
    )
    assert words.tolerance(tolerance.FP16).startswith("SQNR at least 40 dB, the best class agrees on 100%")


def test_a_failure_comes_with_its_reasons(nasty: Report) -> None:
    ((name, why),) = words.faults(nasty)
    assert name.endswith("fp32")
    assert why == nasty.rows[0].manifest.parity.reasons[0]


def test_lower_precision_is_close_to_the_reference_not_equal(tmp_path: Path) -> None:
    path = tmp_path / "a.timed"
    path.write_text("a")
    lossy = parity().model_copy(update={"tolerance": tolerance.FP16})
    report = compose(
        {"a.timed": manifest_of(path, lossy)}, [], folder="x", now=datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert words.verdict(lossy) == "close"
    assert words.verdict(parity()) == "equal"
    assert words.headline(report) == "1 of 1 artifact matches the reference"


class TestAccuracy:
    """An int8 file may equal the reference closely enough and still answer worse."""

    @staticmethod
    def report(tmp_path: Path, artifact: float) -> Report:
        path = tmp_path / "a.timed"
        path.write_text("{}")
        found = Evaluation(
            pictures="some",
            count=100,
            engine="clock 1.0",
            measure="top-1",
            score=Score(reference=0.983, artifact=artifact),
            agreement=0.99,
        )
        manifest = manifest_of(path, parity(), precision="int8", accuracy=judge(found, Gate()))
        return compose({"a.timed": manifest}, [], folder="exports", now=datetime.now(UTC))

    def test_it_stands_beside_the_references(self, tmp_path: Path) -> None:
        report = self.report(tmp_path, 0.979)
        assert words.accuracy(report.rows[0]) == "97.9% of 98.3%"
        assert words.fidelity(report.rows[0]) == "top-1 97.9% of 98.3%"
        assert report.passed == 1

    def test_a_loss_that_is_too_large_is_a_fault(self, tmp_path: Path) -> None:
        report = self.report(tmp_path, 0.9)
        assert report.passed == 0
        assert words.faults(report) == [
            ("timed int8", "top-1 falls from 98.30% to 90.00%, by more than 1.0%")
        ]
