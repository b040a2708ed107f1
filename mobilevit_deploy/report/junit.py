"""Verdicts as JUnit XML, the form in which Jenkins, GitLab and GitHub's actions take test results.

One case an artifact and question: is it right (parity and accuracy), is it as fast as before. Names stay the
same from export to export, so that the readers see one test with a history.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.measurement import Checked, Measurement
from mobilevit_deploy.bench.regression import Change, Comparison
from mobilevit_deploy.report import comparison as compared
from mobilevit_deploy.report import words
from mobilevit_deploy.report.data import Broken

# XML 1.0 has no way to write these, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}


@dataclass(frozen=True)
class Case:
    """One test case.

    Attributes:
        name: of the artifact, always the same.
        outcome: ``failure`` for a verdict that is no pass, ``error`` for what could not be judged,
            ``skipped`` for what cannot be told.
        message: why, in one line; of a case that passed, its figures.
    """

    name: str
    outcome: Literal["passed", "failure", "error", "skipped"]
    message: str


def parity_cases(manifests: Mapping[str, Manifest], broken: Sequence[Broken] = ()) -> list[Case]:
    """Whether artifacts are right, as their manifests say.

    Args:
        manifests: by the path of their artifacts.
        broken: artifacts that cannot be trusted.
    """
    return [
        *(_parity_case(path, manifest) for path, manifest in manifests.items()),
        *(Case(each.path, "error", each.reason) for each in broken),
    ]


def device_cases(measured: Sequence[Measurement]) -> list[Case]:
    """Whether artifacts computed on devices what the reference computes."""
    return [
        Case(
            f"{each.subject.file} on {each.device}",
            "passed" if each.outcome.parity.passed else "failure",
            "; ".join(each.outcome.parity.reasons) or f"by {each.outcome.parity.engine}",
        )
        for each in measured
        if isinstance(each.outcome, Checked)
    ]


def latency_cases(comparison: Comparison, *, strict: bool = False) -> list[Case]:
    """Whether artifacts are as fast as before.

    Args:
        comparison: with a threshold; without one no case fails.
        strict: whether what cannot be told fails, and is not just skipped.
    """
    return [_latency_case(change, comparison, strict=strict) for change in comparison.changes]


def render(suites: Mapping[str, Sequence[Case]]) -> str:
    """The document, with a suite for each name; suites without cases are left out."""
    root = ElementTree.Element("testsuites", name="mobilevit-deploy")
    _count(root, [case for cases in suites.values() for case in cases])
    for name, cases in suites.items():
        if cases:
            suite = ElementTree.SubElement(root, "testsuite", name=name)
            _count(suite, cases)
            for case in cases:
                _add(suite, case)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _parity_case(path: str, manifest: Manifest) -> Case:
    if manifest.passed:
        return Case(path, "passed", f"{words.verdict(manifest.parity)}, run by {manifest.parity.engine}")
    reason = "; ".join(manifest.reasons) or words.verdict(manifest.parity)
    return Case(path, "failure", reason)


def _latency_case(change: Change, comparison: Comparison, *, strict: bool) -> Case:
    name, threshold = change.artifact.name, comparison.threshold
    why = compared.advice(change, threshold)
    if change.ratio and not why:
        why = f"{compared.difference(change.ratio.value)} ({compared.span(change.ratio)})"
    message = ": ".join(filter(None, [compared.verdict(change, threshold), why]))
    if threshold is None or change.verdict not in {"slower", "cannot-tell", "no-new"}:
        return Case(name, "passed", message)
    if change.verdict == "slower":
        return Case(name, "failure", f"{message}; {compared.percent(threshold)} are allowed")
    return Case(name, "failure" if strict else "skipped", message)


def _count(element: ElementTree.Element, cases: Sequence[Case]) -> None:
    element.set("tests", str(len(cases)))
    for outcome, attribute in _COUNTED.items():
        element.set(attribute, str(sum(case.outcome == outcome for case in cases)))
    element.set("time", "0")


def _add(suite: ElementTree.Element, case: Case) -> None:
    message = _legal(case.message)
    of_suite = f"mobilevit-deploy.{suite.get('name')}"
    element = ElementTree.SubElement(suite, "testcase", classname=of_suite, name=_legal(case.name), time="0")
    if case.outcome == "passed":
        ElementTree.SubElement(element, "system-out").text = message
    elif case.outcome == "skipped":
        ElementTree.SubElement(element, "skipped", message=message)
    else:
        # Some readers show the attribute, others the text.
        ElementTree.SubElement(element, case.outcome, message=message, type=case.outcome).text = message


def _legal(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
