"""JUnit XML as its readers take it, whatever names and reasons hold."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.timed_artifacts import manifest_of, measurement, parity, timing
from mobilevit_deploy.accuracy.result import AccuracyResult, Gate
from mobilevit_deploy.bench.measurement import Measurement, Untimed
from mobilevit_deploy.bench.regression import gate
from mobilevit_deploy.report import junit
from mobilevit_deploy.report.data import Broken
from mobilevit_deploy.report.junit import Case

OUTCOMES = {"failure", "error", "skipped"}


def run(*medians: float, target: str = "timed") -> list[Measurement]:
    subject = measurement().subject.model_copy(update={"target": target})
    return [
        measurement(
            subject=subject,
            round=number,
            started_at=datetime(2026, 1, 2, 3, number, tzinfo=UTC),
            outcome=timing(samples_ms=(median,) * 5),
        )
        for number, median in enumerate(medians, start=1)
    ]


def outcome(case: ElementTree.Element) -> str:
    found = [child.tag for child in case if child.tag in OUTCOMES]
    return found[0] if found else "passed"


SUITES = {
    "parity": [Case("a.onnx", "passed", "equal"), Case("b.onnx", "error", "changed")],
    "latency": [Case("a", "failure", "slower"), Case("b", "skipped", "cannot tell")],
    "nothing": [],
}


class TestDocument:
    def test_counts_add_up(self) -> None:
        root = ElementTree.fromstring(junit.render(SUITES))
        suites = root.findall("testsuite")
        assert [suite.get("name") for suite in suites] == ["parity", "latency"]
        for element in (root, *suites):
            cases = list(element.iter("testcase"))
            assert element.get("tests") == str(len(cases))
            for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
                assert element.get(attribute) == str(sum(outcome(case) == tag for case in cases))

    def test_it_has_the_attributes_that_readers_ask_for(self) -> None:
        """Required by the schema that Jenkins publishes, and by GitLab's reader."""
        root = ElementTree.fromstring(junit.render(SUITES))
        assert root.tag == "testsuites"
        for case in root.iter("testcase"):
            assert case.get("name")
            assert case.get("classname", "").startswith("mobilevit-deploy.")
            assert float(case.get("time", "")) >= 0
        for tag in ("failure", "error"):
            for element in root.iter(tag):
                assert element.get("message") == element.text
                assert element.get("type") == tag

    def test_a_name_occurs_once_in_a_class(self) -> None:
        root = ElementTree.fromstring(junit.render(SUITES))
        keys = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
        assert len(keys) == len(set(keys))

    @given(st.text(alphabet=st.characters(codec=None)), st.sampled_from(["passed", *OUTCOMES]))
    def test_any_text_is_well_formed(self, text: str, verdict: str) -> None:
        document = junit.render({"s": [Case(text, verdict, text)]})  # type: ignore[arg-type]
        (case,) = ElementTree.fromstring(document.encode()).iter("testcase")
        assert outcome(case) == verdict
        # Attributes turn line ends into spaces in any reader, unless they are escaped.
        assert len(case.get("name", "")) == len(text)

    def test_markup_and_control_characters_are_text(self) -> None:
        document = junit.render({"s": [Case('<a & "b">\x1b[31m\x00', "failure", "]]>\ud800")]})
        (case,) = ElementTree.fromstring(document.encode()).iter("testcase")
        assert case.get("name") == '<a & "b">\ufffd[31m\ufffd'
        assert case.findtext("failure") == "]]>\ufffd"


class TestParity:
    def test_the_verdict_of_the_manifest_is_that_of_the_case(self, tmp_path: Path) -> None:
        file = tmp_path / "a.timed"
        file.write_bytes(b"a")
        manifests = {
            f"{verdict}.timed": manifest_of(file, parity(verdict))  # type: ignore[arg-type]
            for verdict in ("pass", "fail", "not-run")
        }
        cases = junit.parity_cases(manifests, [Broken(path="x.timed", reason="It changed.")])
        assert [(case.name, case.outcome) for case in cases] == [
            ("pass.timed", "passed"),
            ("fail.timed", "failure"),
            ("not-run.timed", "failure"),
            ("x.timed", "error"),
        ]
        assert "best class agrees on 0.00%" in cases[1].message
        assert cases[2].message == "no runtime"

    def test_lost_accuracy_is_a_failure(self, tmp_path: Path) -> None:
        file = tmp_path / "a.timed"
        file.write_bytes(b"a")
        lost = AccuracyResult(verdict="fail", gate=Gate(), reasons=("top-1 falls by 3 points",))
        (case,) = junit.parity_cases({"a": manifest_of(file, parity(), accuracy=lost)})
        assert (case.outcome, case.message) == ("failure", "top-1 falls by 3 points")


class TestLatency:
    @pytest.mark.parametrize(
        ("new", "strict", "expected"),
        [
            ((2.0, 2.0, 2.0), True, "passed"),
            ((1.5, 1.5, 1.5), True, "passed"),
            ((2.4, 2.4, 2.4), False, "failure"),
            ((2.0,), False, "skipped"),
            ((2.0,), True, "failure"),
        ],
    )
    def test_the_gate_decides(self, new: tuple[float, ...], strict: bool, expected: str) -> None:
        comparison = gate(run(2.0, 2.0, 2.0), run(*new), 0.05)
        (case,) = junit.latency_cases(comparison, strict=strict)
        assert case.outcome == expected
        assert case.name == "tiny 32x48 timed fp32, 1 thread on host"

    def test_without_a_gate_nothing_fails(self) -> None:
        (case,) = junit.latency_cases(gate(run(2, 2, 2), run(4, 4, 4), None), strict=True)
        assert (case.outcome, case.message) == ("passed", "slower: +100.0% (+100.0% to +100.0%)")

    def test_a_lost_artifact_is_skipped_and_says_why(self) -> None:
        gone = Untimed(status="failed", reason="It died.")
        lost = run(2, target="lost")
        new = [*run(2, 2, 2), lost[0].model_copy(update={"outcome": gone})]
        case = junit.latency_cases(gate([*run(2, 2, 2), *lost], new, 0.05))[1]
        assert (case.outcome, case.message) == ("skipped", "gone: measured in BASE, not in NEW. It died.")
