"""How each number of a report was made, in words."""

from __future__ import annotations

from collections.abc import Sequence

from mobilevit_deploy.bench.sampling import WARMUP_RULE
from mobilevit_deploy.report import words
from mobilevit_deploy.report.data import Report, Timed

INSTRUCTIONS = (
    "Instructions of one inference, counted on an emulated ARM processor with one core. It is an instruction "
    "count and no latency: there are no caches and no pipeline."
)
"""Stands beside every such count."""

_PARITY = (
    "The file on disk was run by its runtime and compared with the PyTorch reference on {inputs}: "
    "photographs, generated pictures, black, white and saturated noise. The figures are those of the worst "
    "input. The error is the largest absolute difference of any logit, as a fraction of the spread (largest "
    "minus smallest) of the reference's logits; SQNR is the power of the logits, the mean over all inputs, "
    "over that of the error on the worst picture; black, white and noise are compared too, and have a bound "
    "of their own in 8 bits. "
    "Top-1 is the share of inputs, or in segmentation of pixels, that both give the same best class."
)
_PARITY_THERE = (
    " On other devices the same inputs were run and compared again before anything was timed; those figures "
    "stand in the device's rows."
)
_SIZE = (
    "Bytes of the file, or of all files of a package; 1 MB is 1,000,000 bytes. Zipped is what is left after "
    "deflate, as in the download of an app."
)
_LOAD = (
    "Opening the file, with the runtime's library imported and the file in the system's cache; median over "
    "processes."
)
_FIRST = "The first inference after loading; median over processes."
_LATENCY = (
    "{processes} an artifact, in turns (A B C, A B C), each a fresh process. {warmup} Every inference "
    "after that is a sample. It takes {input}, and ends when the outputs are read back; preprocessing is not "
    "included."
)
_TAILS = (
    "p90 and p99 are those of all samples of all processes; CV is the standard deviation of the processes' "
    "medians over their mean."
)
_WHOLE = (
    "From a decoded photograph to the output: the median of making the input, and the median inference. "
    "Known of this machine alone; on phones an app makes the input, in its own way."
)
_MEMORY = (
    "The most that was ever resident in a process which loads the artifact and runs it, and is not timed. "
    "What came with the model is all beyond what the runtime's library took before the file was opened."
)
_INTERVAL = (
    "95% confidence for the median over all processes. Processes are resampled, and samples within each, and "
    "Student's t takes account of how few processes there are. Ratios of medians are treated the same way, "
    "round by round where artifacts took turns."
)


def numbers(report: Report) -> list[tuple[str, str]]:
    """How each number was made: its name and a few sentences."""
    counts = {len(output.cases) for row in report.artifacts for output in row.manifest.parity.outputs}
    inputs = f"{min(counts)} inputs" if len(counts) == 1 else "several inputs"
    parity = _PARITY.format(inputs=inputs)
    if any(row.device_parity for row in report.rows):
        parity += _PARITY_THERE
    facts = [("Parity", parity), ("Size", _SIZE)]
    timed = [row.timed for row in report.rows if row.timed]
    if timed:
        how = _LATENCY.format(processes=_processes(timed), warmup=WARMUP_RULE, input=timed[0].input)
        facts += [("Load", _LOAD), ("First", _FIRST), ("Latency", how), ("Interval", _INTERVAL)]
        facts += [("Tails", _TAILS)]
    if any(each.end_to_end_ms is not None for each in timed):
        facts.append(("End to end", _WHOLE))
    if any(each.peak_bytes is not None for each in timed):
        facts.append(("Memory", _MEMORY))
    if words.emulated(report):
        facts.append(("Instructions", INSTRUCTIONS))
    return facts


def libraries(report: Report) -> list[tuple[str, str]]:
    """Versions of whatever made the artifacts."""
    found: dict[str, dict[str, None]] = {}
    for row in report.artifacts:
        for name, version in row.manifest.libraries.items():
            found.setdefault(name, {})[version] = None
    return [(name, ", ".join(versions)) for name, versions in sorted(found.items())]


def _processes(timed: Sequence[Timed]) -> str:
    counts = [each.latency.processes for each in timed]
    low, high = min(counts), max(counts)
    if low != high:
        return f"{low} to {high} processes"
    return f"{low} process" if low == 1 else f"{low} processes"
