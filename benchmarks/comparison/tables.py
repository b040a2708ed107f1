"""The results as Markdown: the goals of the project first, then every file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.comparison.entries import OURS, Entry, Key
from benchmarks.comparison.results import Results
from mobilevit_deploy.bench.statistics import Estimate

RUNTIMES = {"tflite": "LiteRT", "executorch": "ExecuTorch XNNPACK", "onnx": "ONNX Runtime"}
MODELS = {"s": "MobileViT-S", "xxs": "MobileViT-XXS"}

GOALS = {"tflite": (1.2, 2.5, 4.0), "executorch": (1.4, 2.3, 1.3), "onnx": (1.2, 1.8, 1.5)}
"""Of MobileViT-S, how many times as fast: fp32 as the plain export, int8 as that, int8 as the peers' int8."""

_NONE = "-"
_LEGEND = "Medians; in brackets the 95 % interval over processes. 1.5x: takes 1/1.5 of the time."


def markdown(results: Results) -> str:
    """Tables of every model that was measured."""
    parts = [
        f"<!-- Written by `make bench-peers` on {results.made_at:%Y-%m-%d}; raw samples in peers.json. -->",
        f"256x256, batch 1, one thread of {results.machine.cpu} ({results.machine.cores} cores). {_LEGEND}",
    ]
    for model, name in MODELS.items():
        entries = [entry for entry in results.entries if entry.key.model == model]
        if not entries:
            continue
        parts += [f"### {name}", _goals(results, entries), _files(results, entries)]
        failures = [f"- {_maker(entry.key)}: {entry.failure}" for entry in entries if entry.failure]
        if failures:
            parts.append("\n".join(failures))
    return "\n\n".join(parts) + "\n"


def _goals(results: Results, entries: Sequence[Entry]) -> str:
    heads = (
        "runtime",
        "fp32 against the plain export",
        "int8 against the plain fp32 export",
        "int8 against the peers' int8",
    )
    return _table(heads, "l" * len(heads), list(_goal_rows(results, entries)))


def _goal_rows(results: Results, entries: Sequence[Entry]) -> Iterator[list[str]]:
    timed = [entry.key for entry in entries if results.rounds(entry.key)]
    for runtime, name in RUNTIMES.items():
        here = [key for key in timed if key.runtime == runtime]
        if not here:
            continue
        pairs = (
            (_of(here, "fp32", ours=True), _of(here, "fp32", ours=False)),
            (_of(here, "int8", ours=True), _of(here, "fp32", ours=False)),
            (_of(here, "int8", ours=True), _of(here, "int8", ours=False)),
        )
        goals: Sequence[float | None] = GOALS[runtime] if here[0].model == "s" else (None, None, None)
        yield [
            name,
            *(_goal_cell(results, *pair, goal) for pair, goal in zip(pairs, goals, strict=True)),
        ]


def _goal_cell(results: Results, ours: Sequence[Key], bases: Sequence[Key], goal: float | None) -> str:
    if not ours or not bases:
        return _NONE
    ratios = {base.maker: results.faster(ours[0], base) for base in bases}
    # Against the fastest of several peers first: that one decides.
    ordered = sorted(ratios.items(), key=lambda item: item[1].value)
    cells = [_times(estimate) + (f" {maker}" if len(ordered) > 1 else "") for maker, estimate in ordered]
    if goal is None:
        return "; ".join(cells)
    reached = "reached" if ordered[0][1].value >= goal else "missed"
    return f"{'; '.join(cells)} (goal {goal:g}x: {reached})"


def _of(keys: Sequence[Key], precision: str, *, ours: bool) -> list[Key]:
    return [key for key in keys if key.precision == precision and (key.maker == OURS) == ours]


def _files(results: Results, entries: Sequence[Entry]) -> str:
    heads = (
        "file",
        "precision",
        "median",
        "against plain fp32",
        "size",
        "SQNR",
        "first class as the reference",
        "top-1",
        "export",
    )
    rows = []
    for runtime, name in RUNTIMES.items():
        here = [entry for entry in entries if entry.key.runtime == runtime]
        plain = _of([entry.key for entry in here], "fp32", ours=False)
        rows += [[f"{name}: {_maker(entry.key)}", *_cells(results, entry, plain)] for entry in here]
    return _table(heads, "ll" + "r" * (len(heads) - 2), rows)


def _cells(results: Results, entry: Entry, plain: Sequence[Key]) -> list[str]:
    key, accuracy, latency = entry.key, entry.accuracy, results.latency(entry.key)
    timed_plain = [base for base in plain if results.rounds(base)]
    return [
        key.precision,
        _milliseconds(latency.p50) if latency else _NONE,
        _times(results.faster(key, timed_plain[0])) if latency and timed_plain else _NONE,
        f"{entry.bytes / 1e6:.2f} MB" if entry.path else _NONE,
        f"{accuracy.sqnr_db:.1f} dB" if accuracy else _NONE,
        f"{accuracy.agreement:.1%}" if accuracy else _NONE,
        f"{accuracy.top1:.1%}" if accuracy and accuracy.top1 is not None else _NONE,
        f"{entry.export_s:.0f} s" if entry.path else _NONE,
    ]


def _maker(key: Key) -> str:
    return f"**{key.maker}**" if key.maker == OURS else key.maker


def _milliseconds(estimate: Estimate) -> str:
    low, high = estimate.interval.low, estimate.interval.high
    return f"{estimate.value:.2f} ms [{low:.2f}, {high:.2f}]"


def _times(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}x [{estimate.interval.low:.2f}, {estimate.interval.high:.2f}]"


def _table(heads: Sequence[str], align: str, rows: Sequence[Sequence[str]]) -> str:
    rule = ["---:" if side == "r" else "---" for side in align]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))
