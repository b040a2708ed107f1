"""``compare``: exit codes for CI, and every form in which the verdict is written."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fakes.timed_artifacts import measurement, timing, write_artifact
from mobilevit_deploy.artifact import read_manifest
from mobilevit_deploy.bench.records import Recorder
from mobilevit_deploy.cli.options import threshold
from mobilevit_deploy.errors import UsageError

Cli = Callable[..., subprocess.CompletedProcess[str]]


def record(path: Path, *medians: float, day: int = 2, **changes: object) -> Path:
    """A run with a process for each median."""
    recorder = Recorder(path)
    for number, median in enumerate(medians, start=1):
        recorder.append(
            measurement(
                round=number,
                started_at=datetime(2026, 1, day, tzinfo=UTC) + timedelta(minutes=number),
                outcome=timing(samples_ms=(median, 0.999 * median, 1.001 * median)),
                **changes,
            )
        )
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return record(tmp_path / "base.jsonl", 10.0, 10.1, 9.9)


class TestExitCode:
    def test_slower_than_allowed_is_1(self, cli: Cli, base: Path, tmp_path: Path) -> None:
        new = record(tmp_path / "new.jsonl", 12.0, 12.1, 11.9, day=3)
        done = cli("compare", base, new, "--fail-if-slower", "5%")
        assert done.returncode == 1, done.stderr
        assert done.stdout.startswith("1 of 1 artifact is slower by more than 5%\n")
        assert "+20.0%" in done.stdout

    def test_as_fast_as_before_is_0(self, cli: Cli, base: Path, tmp_path: Path) -> None:
        new = record(tmp_path / "new.jsonl", 10.1, 10.0, 9.9, day=3)
        done = cli("compare", base, new, "--fail-if-slower", "5%", "--strict")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("None of 1 artifact is slower by more than 5%\n")
        assert "within 5%" in done.stdout

    @pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 1)])
    def test_what_nobody_can_tell_is_a_warning_unless_proof_is_asked_for(
        self, cli: Cli, base: Path, tmp_path: Path, strict: tuple[str, ...], code: int
    ) -> None:
        new = record(tmp_path / "new.jsonl", 10.2, 10.7, 9.8, day=3)
        done = cli("compare", base, new, "--fail-if-slower", "5%", *strict)
        assert done.returncode == code, done.stderr
        shown = " ".join(done.stdout.split())
        assert "cannot tell of 1" in shown
        assert "instead of 3, would tell" in shown

    def test_without_a_gate_it_is_0_whatever_it_says(self, cli: Cli, base: Path, tmp_path: Path) -> None:
        new = record(tmp_path / "new.jsonl", 20.0, 20.1, 19.9, day=3)
        done = cli("compare", base, new)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("1 of 1 slower, 0 faster, no difference shown in 0\n")

    def test_nothing_to_compare_is_3(self, cli: Cli, base: Path, tmp_path: Path) -> None:
        other = record(tmp_path / "new.jsonl", 10.0, threads=2)
        done = cli("compare", base, other, "--fail-if-slower", "5%")
        assert done.returncode == 3
        assert "no artifact in common" in done.stderr
        (tmp_path / "empty").mkdir()
        assert "no measurements in" in cli("compare", base, tmp_path / "empty").stderr
        assert "cannot be read" in cli("compare", base, tmp_path / "none.jsonl").stderr

    def test_wrong_usage_is_2_and_teaches(self, cli: Cli, base: Path) -> None:
        done = cli("compare", base, base, "--fail-if-slower", "fast")
        assert done.returncode == 2
        assert "'5%'" in done.stderr
        assert "Add --fail-if-slower" in cli("compare", base, base, "--strict").stderr


class TestOutputs:
    def test_json(self, cli: Cli, base: Path, tmp_path: Path) -> None:
        new = record(tmp_path / "new.jsonl", 12.0, 12.1, 11.9, day=3)
        done = cli("compare", base, new, "--fail-if-slower", "5", "--json")
        found = json.loads(done.stdout)
        assert found["passed"] is False
        assert found["threshold"] == 0.05
        (change,) = found["changes"]
        assert change["verdict"] == "slower"
        assert change["ratio"]["value"] == pytest.approx(1.2)

    def test_markdown_and_junit_of_folders(self, cli: Cli, tmp_path: Path) -> None:
        """A folder's artifacts lie beside its measurements, so that their parity is told, too."""
        for name, median, day in (("before", 10.0, 2), ("after", 12.0, 3)):
            folder = tmp_path / name
            folder.mkdir()
            manifest = read_manifest(write_artifact(folder, "a"))
            (folder / "rows.jsonl").write_text('{"somebody": "else"}\n')
            made = [median, 1.01 * median, 0.99 * median]
            record(folder / "measurements.jsonl", *made, day=day, of=manifest)
        done = cli(
            *("compare", "before", "after", "--fail-if-slower", "0.05"),
            *("--markdown", "new/c.md", "--junit", "c.xml"),
        )
        assert done.returncode == 1, done.stderr
        assert (tmp_path / "new" / "c.md").read_text().startswith("## 1 of 1 artifact is slower")
        cases = list(ElementTree.parse(tmp_path / "c.xml").iter("testcase"))
        assert [(case.get("classname"), case.get("name")) for case in cases] == [
            ("mobilevit-deploy.parity", "a.timed"),
            ("mobilevit-deploy.latency", "tiny 32x48 timed fp32, 1 thread on host"),
        ]
        assert [case.find("failure") is None for case in cases] == [True, False]

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_the_table_fits_the_terminal(self, cli: Cli, base: Path, tmp_path: Path, width: int) -> None:
        import os

        new = record(tmp_path / "new.jsonl", 10.2, 10.7, 9.8, day=3)
        env = {**os.environ, "COLUMNS": str(width)}
        done = cli("compare", base, new, "--fail-if-slower", "5%", env=env)
        assert max(map(len, done.stdout.splitlines())) <= width
        assert "cannot tell" in " ".join(done.stdout.split())


class TestThreshold:
    @pytest.mark.parametrize("text", ["5%", "5", "0.05", " 5 % ", "5.0"])
    def test_people_write_five_percent_in_many_ways(self, text: str) -> None:
        assert threshold(text) == pytest.approx(0.05)

    @pytest.mark.parametrize(
        ("text", "fraction"), [("0", 0.0), ("0%", 0.0), ("0.5%", 0.005), ("1", 0.01), ("100%", 1.0)]
    )
    def test_the_ends_are_what_they_say(self, text: str, fraction: float) -> None:
        assert threshold(text) == pytest.approx(fraction)

    @pytest.mark.parametrize("text", ["", "%", "five", "-5%", "101%", "nan", "inf", "5%%"])
    def test_the_rest_is_refused_with_an_example(self, text: str) -> None:
        with pytest.raises(UsageError) as refusal:
            threshold(text)
        assert "'5%'" in refusal.value.remedy

    def test_what_may_mean_either_is_asked_back(self) -> None:
        with pytest.raises(UsageError) as refusal:
            threshold("0.5")
        assert refusal.value.remedy == "Write '50%' or '0.5%'."
