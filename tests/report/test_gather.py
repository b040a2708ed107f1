"""What a folder of artifacts and measurements amounts to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.timed_artifacts import (
    conditions,
    machine,
    manifest_of,
    measurement,
    parity,
    phone,
    phone_conditions,
    timing,
    write_artifact,
)
from mobilevit_deploy.artifact import manifest_path, read_manifest
from mobilevit_deploy.bench.measurement import Measurement, Untimed
from mobilevit_deploy.bench.records import Recorder
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.report.data import Report
from mobilevit_deploy.report.gather import gather


def record(folder: Path, *measurements: Measurement) -> None:
    recorder = Recorder(folder / "bench.jsonl")
    for each in measurements:
        recorder.append(each)


class TestGather:
    def test_artifacts_of_subfolders_are_found_by_their_manifests(self, tmp_path: Path) -> None:
        (tmp_path / "failed").mkdir()
        write_artifact(tmp_path, "a")
        write_artifact(tmp_path / "failed", "b", verdict="fail")
        report = gather(tmp_path)
        assert [row.path for row in report.rows] == ["a.timed", "failed/b.timed"]
        assert (report.passed, report.total) == (1, 2)

    def test_artifact_with_a_damaged_manifest_is_told(self, tmp_path: Path) -> None:
        write_artifact(tmp_path, "a")
        write_artifact(tmp_path, "b")
        manifest_path(tmp_path / "b.timed").write_text('{"a"')
        report = gather(tmp_path)
        assert [row.path for row in report.rows] == ["a.timed"]
        assert [broken.path for broken in report.broken] == ["b.timed"]

    def test_a_package_is_one_artifact_whatever_json_lies_inside(self, tmp_path: Path) -> None:
        package = tmp_path / "a.mlpackage"
        package.mkdir()
        (package / "Manifest.json").write_text('{"fileFormatVersion": "1.0.0"}')
        manifest = manifest_of(package, parity())
        manifest_path(package).write_text(manifest.model_dump_json())
        assert [row.path for row in gather(tmp_path).rows] == ["a.mlpackage"]

    def test_exports_in_the_making_and_other_files_are_passed_over(self, tmp_path: Path) -> None:
        hidden = tmp_path / ".mobilevit-deploy-1-x"
        hidden.mkdir()
        write_artifact(hidden, "half")
        write_artifact(tmp_path, "whole")
        (tmp_path / "package.json").write_text('{"name": "other"}')
        (tmp_path / "broken.json").write_text("{")
        (tmp_path / "rows.jsonl").write_text('{"other": "rows"}\n')
        report = gather(tmp_path)
        assert [row.path for row in report.rows] == ["whole.timed"]
        assert not report.warnings

    def test_measurements_belong_to_the_file_with_their_digest(self, tmp_path: Path) -> None:
        one, other = (
            read_manifest(write_artifact(tmp_path, name, run_ms=number)) for number, name in enumerate("ab")
        )
        record(tmp_path, measurement(one), measurement(other), measurement(one, round=2))
        assert [row.timed and row.timed.latency.processes for row in gather(tmp_path).rows] == [2, 1]

    def test_measurements_of_other_files_are_counted_and_left_out(self, tmp_path: Path) -> None:
        write_artifact(tmp_path)
        record(tmp_path, measurement(), measurement())
        report = gather(tmp_path)
        assert report.rows[0].timed is None
        assert report.warnings == ("2 measurements are of files that are not here, and are left out.",)

    def test_a_changed_artifact_does_not_equal_the_reference(self, tmp_path: Path) -> None:
        write_artifact(tmp_path, "good")
        write_artifact(tmp_path, "changed").write_text("{ }")
        report = gather(tmp_path)
        assert (report.passed, report.total) == (1, 2)
        assert report.broken[0].path == "changed.timed"
        assert "changed after export" in report.broken[0].reason

    def test_unreadable_measurements_are_told_and_cost_no_artifact(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        record(tmp_path, measurement(manifest))
        file = tmp_path / "bench.jsonl"
        file.write_text(file.read_text().replace('"schema_version":2', '"schema_version":9'))
        report = gather(tmp_path)
        assert report.total == 1
        assert "schema version 9" in report.warnings[0]

    def test_a_folder_without_artifacts_says_how_to_make_some(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="no artifact in") as refusal:
            gather(tmp_path)
        assert "export" in refusal.value.remedy


class TestTimes:
    def test_processes_are_pooled_and_single_figures_are_medians(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        for number, load in enumerate((10.0, 30.0, 11.0), start=1):
            record(tmp_path, measurement(manifest, round=number, outcome=timing(load_ms=load)))
        timed = gather(tmp_path).rows[0].timed
        assert timed is not None
        assert timed.load_ms == 11.0
        assert (timed.latency.processes, timed.latency.samples) == (3, 15)

    def test_numbers_of_threads_are_never_pooled(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        record(tmp_path, measurement(manifest, threads=1), measurement(manifest, threads=2))
        report = gather(tmp_path)
        assert [row.label for row in report.rows] == ["timed fp32 1 thread", "timed fp32 2 threads"]
        assert report.total == 1
        assert not any(row.timed and row.timed.ratio for row in report.rows)

    def test_the_ratio_is_to_the_fastest_of_the_same_model_and_size(self, tmp_path: Path) -> None:
        slow, fast = (read_manifest(write_artifact(tmp_path, name, run_ms=n)) for n, name in enumerate("ab"))
        record(
            tmp_path,
            measurement(slow, outcome=timing(samples_ms=(3.0,) * 9)),
            measurement(fast, outcome=timing(samples_ms=(2.0,) * 9)),
        )
        slow_row, fast_row = gather(tmp_path).rows
        assert slow_row.timed is not None
        assert slow_row.timed.ratio is not None
        assert slow_row.timed.ratio.value == 1.5
        assert fast_row.timed is not None
        assert fast_row.timed.ratio is None

    def test_what_failed_parity_has_no_time_even_if_it_was_measured_before(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path, verdict="fail"))
        record(tmp_path, measurement(manifest))
        assert gather(tmp_path).rows[0].timed is None

    def test_the_reason_for_no_time_is_kept(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        why = Untimed(status="failed", reason="The process was killed by SIGSEGV.")
        record(tmp_path, measurement(manifest, outcome=why))
        assert gather(tmp_path).rows[0].untimed == why


class TestDevices:
    """One artifact may be right and fast in one place, and wrong or silent in another."""

    def test_a_refusal_on_one_device_leaves_the_times_of_another(self, everywhere: Report) -> None:
        wrong = [row for row in everywhere.rows if row.name == "wrong fp32"]
        assert [row.label for row in wrong] == [
            "wrong fp32 all cores on host",
            "wrong fp32 on adb:R58M",
        ]
        host, phone = wrong
        assert host.timed is not None
        assert host.passed
        assert phone.untimed is not None
        assert phone.untimed_on == ("adb:R58M",)
        assert not phone.passed
        assert phone.manifest.passed

    def test_devices_with_the_same_reason_share_a_row(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        why = Untimed(status="not-timed", reason="There is no runner.")
        record(
            tmp_path,
            *(measurement(manifest, device=name, context="adb-shell", outcome=why) for name in ("a", "b")),
            measurement(manifest),
        )
        timed, untimed = gather(tmp_path).rows
        assert timed.label == "timed fp32 on host"
        assert untimed.label == "timed fp32 on a and b"

    def test_what_was_mended_since_is_no_refusal(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        why = Untimed(status="failed", reason="It crashed.")
        record(tmp_path, measurement(manifest, outcome=why), measurement(manifest))
        (row,) = gather(tmp_path).rows
        assert row.timed is not None

    def test_memory_that_cannot_be_looked_at_costs_no_time(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        why = Untimed(status="not-timed", reason="The device does not tell how much memory is used.")
        record(tmp_path, measurement(manifest), measurement(manifest, work="memory", outcome=why))
        (row,) = gather(tmp_path).rows
        assert row.timed is not None
        assert row.timed.peak_bytes is None
        assert row.untimed is None

    def test_a_crash_between_two_rounds_leaves_no_time(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        why = Untimed(status="failed", reason="The process was killed by SIGSEGV.")
        record(tmp_path, measurement(manifest), measurement(manifest, round=2, outcome=why))
        (row,) = gather(tmp_path).rows
        assert row.timed is None
        assert row.untimed == why

    def test_a_device_that_always_throttled_gives_no_time_and_says_so(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        hot = timing(invalid="The device throttled.")
        record(
            tmp_path,
            measurement(manifest),
            *(measurement(manifest, device="adb:R58M", round=n, outcome=hot) for n in (1, 2)),
        )
        timed, untimed = gather(tmp_path).rows
        assert timed.timed is not None
        assert untimed.untimed_on == ("adb:R58M",)
        assert untimed.untimed is not None
        assert untimed.untimed.reason == "No process was a fair time. The device throttled."

    def test_figures_are_those_of_the_device(self, everywhere: Report) -> None:
        host, phone = (row for row in everywhere.rows if row.name == "right fp32")
        assert host.device_parity is None
        assert host.parity.max_error == 2e-6
        assert phone.parity.engine == "clock 1.0 for arm64"
        assert phone.parity.max_error == 4e-6

    def test_memory_is_told_apart_from_the_librarys(self, everywhere: Report) -> None:
        timed = [row.timed for row in everywhere.rows if row.timed and row.name == "right fp32"]
        assert [(each.peak_bytes, each.model_bytes) for each in timed] == [
            (120_000_000, 40_000_000),
            (45_000_000, 25_000_000),
        ]

    def test_end_to_end_is_known_where_the_input_was_made(self, everywhere: Report) -> None:
        host, phone = (row.timed for row in everywhere.rows if row.timed and row.name == "right fp32")
        assert host.end_to_end_ms == pytest.approx(3.05 + 2.0)
        assert phone.end_to_end_ms is None

    def test_no_ratio_crosses_devices(self, everywhere: Report) -> None:
        phone = next(row.timed for row in everywhere.rows if row.timed and row.timed.device == "adb:R58M")
        assert phone.ratio is None

    def test_a_process_that_throttled_is_left_out_and_told(self, everywhere: Report) -> None:
        phone = next(row.timed for row in everywhere.rows if row.timed and row.timed.device == "adb:R58M")
        assert phone.latency.processes == 3
        assert (
            "adb:R58M: 1 process of right fp32 left out, for no fair time was measured: "
            "The device throttled: its thermal status rose to 2."
        ) in everywhere.warnings

    def test_states_stand_in_the_order_of_time(self, everywhere: Report) -> None:
        host, phone = everywhere.places
        assert (host.device, phone.device) == ("host", "adb:R58M")
        assert [before.battery for before, _ in phone.states] == pytest.approx([0.8, 0.7, 0.6])

    def test_warnings_name_the_device_where_there_are_several(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        lit = timing(machine=phone(), before=phone_conditions(screen_on=True))
        record(
            tmp_path,
            measurement(manifest),
            measurement(manifest, device="adb:R58M", context="adb-shell", outcome=lit),
        )
        assert any(warning.startswith("adb:R58M: The screen is lit") for warning in gather(tmp_path).warnings)


class TestEmulation:
    def test_parity_and_instructions_belong_to_the_artifact(self, everywhere: Report) -> None:
        right, wrong = (row.emulated for row in everywhere.artifacts)
        assert right is not None
        assert right.parity is not None
        assert (right.cpu, right.instructions) == ("cortex-a76", 910_421_573)
        assert right.parity.passed
        assert wrong is not None
        assert wrong.parity is not None
        assert (wrong.cpu, wrong.instructions) == ("cortex-a76", None)
        assert not wrong.parity.passed

    def test_what_cannot_run_there_says_why_and_costs_no_row(self, tmp_path: Path) -> None:
        manifest = read_manifest(write_artifact(tmp_path))
        why = Untimed(status="not-timed", reason="There is no runner.")
        record(
            tmp_path,
            measurement(manifest),
            measurement(manifest, device="arm64", context="emulator", outcome=why),
        )
        (row,) = gather(tmp_path).rows
        assert row.timed is not None
        assert row.emulated is not None
        assert (row.emulated.parity, row.emulated.reason) == (None, "There is no runner.")


class TestWarnings:
    def warnings(self, tmp_path: Path, *outcomes: object) -> tuple[str, ...]:
        manifest = read_manifest(write_artifact(tmp_path))
        record(tmp_path, *(measurement(manifest, round=n, outcome=each) for n, each in enumerate(outcomes)))
        return gather(tmp_path).warnings

    def test_a_quiet_machine_and_steady_processes_give_none(self, tmp_path: Path) -> None:
        assert self.warnings(tmp_path, timing(), timing(), timing()) == ()

    def test_the_environment_is_warned_of_once(self, tmp_path: Path) -> None:
        busy = timing(machine=machine(virtual=True), before=conditions(busy=0.4))
        busier = timing(machine=machine(virtual=True), after=conditions(busy=0.5))
        first, second = self.warnings(tmp_path, busy, busier)
        assert "up to 50%" in first
        assert "virtual machine" in second

    def test_processes_that_disagree_are_named(self, tmp_path: Path) -> None:
        (warning,) = self.warnings(tmp_path, timing(), timing(samples_ms=(2.6,) * 5))
        assert warning.startswith("timed fp32: processes differ by up to 18%")

    def test_a_single_process_is_too_few(self, tmp_path: Path) -> None:
        (warning,) = self.warnings(tmp_path, timing())
        assert "single process" in warning
