"""The comparison with peers, written from recorded samples."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.comparison.entries import OURS, Accuracy, Entry, Key, Turn
from benchmarks.comparison.plot import drawings
from benchmarks.comparison.report import write_report
from benchmarks.comparison.results import Results
from benchmarks.comparison.tables import markdown
from mobilevit_deploy.bench.environment import machine

MEDIANS_MS = {
    ("tflite", "litert-torch", "fp32"): 48.0,
    ("tflite", "stock static", "int8"): 90.0,
    ("tflite", "stock full-integer", "int8"): 100.0,
    ("tflite", OURS, "fp32"): 40.0,
    ("tflite", OURS, "int8"): 20.0,
    ("onnx", "torch.onnx", "fp32"): 50.0,
    ("onnx", OURS, "fp32"): 45.0,
}


@pytest.fixture
def results() -> Results:
    """S on two runtimes; one of the peers could not be exported."""
    keys = [Key(model="s", runtime=r, maker=m, precision=p) for r, m, p in MEDIANS_MS]
    entries = [
        Entry(
            key=key,
            fingerprint="",
            path=Path("file"),
            bytes=22_940_000,
            export_s=12.3,
            accuracy=Accuracy(sqnr_db=30.0, agreement=0.975, top1=None, pictures=240),
        )
        for key in keys
    ]
    broken = Key(model="s", runtime="onnx", maker="quantize_static", precision="int8")
    entries.append(Entry(key=broken, fingerprint="", failure="export: exit code 1: no such operator"))
    turns = [
        Turn(
            key=key,
            round=number,
            load_ms=5.0,
            first_ms=60.0,
            warmup_ms=(),
            samples_ms=(median * 0.99, median, median * 1.01),
            busy_before=0.0,
        )
        for number in (1, 2, 3)
        for key, median in zip(keys, MEDIANS_MS.values(), strict=True)
    ]
    return Results(made_at=datetime(2026, 1, 2, tzinfo=UTC), machine=machine(), entries=entries, turns=turns)


def row(table: str, name: str) -> list[str]:
    """The cells after the first of the line that begins with ``name``."""
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_goals_compare_with_the_plain_export_and_with_the_fastest_peer_first(results: Results) -> None:
    fp32, int8, peers = row(markdown(results), "LiteRT")
    assert re.match(r"1\.20x \[1\.\d+, 1\.\d+\] \(goal 1\.2x: reached\)", fp32)
    assert re.match(r"2\.40x \[2\.\d+, 2\.\d+\] \(goal 2\.5x: missed\)", int8)
    assert re.match(
        r"4\.50x \[.+\] stock static; 5\.00x \[.+\] stock full-integer \(goal 4x: reached\)", peers
    )


def test_a_runtime_without_an_8_bit_file_has_no_ratio_of_it(results: Results) -> None:
    fp32, int8, peers = row(markdown(results), "ONNX Runtime")
    assert "1.11x" in fp32
    assert "missed" in fp32
    assert int8 == peers == "-"


def test_every_file_has_a_line_and_the_one_that_failed_says_why(results: Results) -> None:
    text = markdown(results)
    precision, median, against_plain, size, sqnr, agreement, top1, export = row(text, "LiteRT: stock static")
    assert (precision, size, sqnr, agreement, top1) == ("int8", "22.94 MB", "30.0 dB", "97.5%", "-")
    assert median.startswith("90.00 ms [")
    assert against_plain.startswith("0.53x")
    assert export == "12 s"
    assert set(row(text, "ONNX Runtime: quantize_static")[1:]) == {"-"}
    assert "- quantize_static: export: exit code 1: no such operator" in text


def test_the_plot_shows_every_file_that_was_timed_in_the_colours_of_its_theme(results: Results) -> None:
    themes = drawings(results)
    assert themes["light"] != themes["dark"]
    for drawing in themes.values():
        text = " ".join(ElementTree.fromstring(drawing).itertext())
        for (_, maker, precision), median in MEDIANS_MS.items():
            assert f"{maker}, {precision}" in text
            assert f"{median:.1f}" in text
        assert "quantize_static" not in text
        used = set(re.findall(r"var\(--([\w-]+)\)", drawing))
        assert used <= set(re.findall(r"--([\w-]+):", drawing))


def test_what_is_written_reads_back_but_for_where_files_lay(results: Results, tmp_path: Path) -> None:
    written = write_report(results, tmp_path / "results")
    assert [path.name for path in written] == ["peers.json", "peers.md", "peers-light.svg", "peers-dark.svg"]
    entries = [entry.model_copy(update={"path": None}) for entry in results.entries]
    read = Results.model_validate_json(written[0].read_text(encoding="utf-8"))
    assert read == results.model_copy(update={"entries": entries})
