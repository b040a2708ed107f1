"""How reports put things: numbers with sensible digits and their units, and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mobilevit_deploy.bench.statistics import Estimate
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.parity.tolerance import Tolerance
from mobilevit_deploy.report.data import Report, Row, Timed
from mobilevit_deploy.report.naming import where

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""

_TO = "\N{EN DASH}"
_TIMES = "\N{MULTIPLICATION SIGN}"

_VERDICTS = {"pass": "equal", "fail": "differs", "not-run": "not checked"}


def headline(report: Report) -> str:
    """The verdict in one line, such as ``4 of 4 artifacts equal the reference``; 8 bits only match it."""
    exact = all(_exact(row.manifest.parity) for row in report.artifacts)
    one, many = ("equals", "equal") if exact else ("matches", "match")
    artifacts, verb = ("artifact", one) if report.total == 1 else ("artifacts", many)
    wrong = len({row.path for row in report.rows if _wrong_there(row) or _wrong_emulated(row)})
    doubt = f", {wrong} of them not on every device" if wrong else ""
    return f"{report.passed} of {report.total} {artifacts} {verb} the reference{doubt}"


def models(report: Report) -> str:
    """Which models the artifacts were made from, with their input sizes."""
    found = {f"{row.manifest.model.name}, {pixels(row.image_size)}": None for row in report.rows}
    return "; ".join(found)


def subtitle(report: Report) -> str:
    """What was exported, and which artifact is the fastest and the smallest."""
    sentences = [f"{models(report)}."] if report.rows else []
    # Of several models, sizes or devices none is the fastest in any useful sense.
    leaders = [row for row in report.rows if row.timed and row.timed.ratio is None]
    if len(leaders) == 1 and leaders[0].timed and sum(row.timed is not None for row in report.rows) > 1:
        rivals = [row.name for row in report.rows if row.timed and _may_be_as_fast(row.timed)]
        doubt = f" ({', '.join(rivals)} may be as fast)" if rivals else ""
        best = leaders[0].timed
        place = "" if best.device == "host" else f" on {where(best.device, best.context)}"
        sentences.append(f"Fastest: {leaders[0].name}, {milliseconds(best.latency.p50.value)}{place}{doubt}.")
    equal = [row for row in report.artifacts if row.manifest.passed]
    if len(equal) > 1:
        smallest = min(equal, key=lambda row: row.manifest.bytes)
        sentences.append(f"Smallest: {smallest.name}, {megabytes(smallest.manifest.bytes)}.")
    return " ".join(sentences)


def faults(report: Report) -> list[tuple[str, str]]:
    """Every artifact that does not equal the reference, at the export or on a device, and why."""
    differing = [
        (row.name, "; ".join(row.manifest.reasons) or verdict(row.manifest.parity))
        for row in report.artifacts
        if not row.manifest.passed
    ]
    differing += [(row.label, row.untimed.reason) for row in report.rows if row.untimed and _wrong_there(row)]
    differing += [
        (f"{row.name} on emulated {row.emulated.cpu}", "; ".join(row.emulated.parity.reasons))
        for row in report.artifacts
        if row.emulated and row.emulated.parity and _wrong_emulated(row)
    ]
    return [*differing, *((broken.path, broken.reason) for broken in report.broken)]


def untimed(report: Report) -> list[tuple[str, str]]:
    """Why there is no latency, and of which artifacts; what is not right is told among the faults."""
    names: dict[str, list[str]] = {}
    for row in report.rows:
        if row.untimed and not _wrong_there(row):
            names.setdefault(row.untimed.reason, []).append(row.label)
    return [(", ".join(labels), reason) for reason, labels in names.items()]


def unemulated(report: Report) -> list[tuple[str, str]]:
    """Why emulated ARM says nothing, or not all, of artifacts that were tried there, and of which."""
    names: dict[str, list[str]] = {}
    for row in report.artifacts:
        if row.emulated and row.emulated.reason:
            names.setdefault(row.emulated.reason, []).append(row.name)
    return [(", ".join(found), reason) for reason, found in names.items()]


def quotations(report: Report) -> list[tuple[str, str]]:
    """What vendors' own tools printed of which artifact; they measure in their own way."""
    return [
        (
            row.name,
            f"{milliseconds(each.summary.mean_ms)} on average, says {each.summary.tool} on {each.device}",
        )
        for row in report.artifacts
        for each in row.quoted
    ]


def emulated(report: Report) -> list[Row]:
    """A row of each artifact that emulated ARM ran."""
    return [row for row in report.artifacts if row.emulated and row.emulated.parity]


def proof(row: Row) -> str:
    """Where the parity of the row was proven and by what, and what was timed if that was another."""
    if (there := row.device_parity) is not None:
        return f"{'proven' if there.passed else 'run'} there by {there.engine}"
    proved = row.manifest.parity.engine
    if row.timed is None:
        return proved
    clock = "" if row.timed.engine == proved else f"; timed on {row.timed.engine}"
    return f"as at the export by {proved}{clock}"


def proofs(rows: Sequence[Row]) -> str:
    """Where the parity of rows that stand together was checked, and by what, in one line."""
    engines: dict[str, dict[str, None]] = {}
    for row in rows:
        device = row.timed.device if row.timed else ", ".join(row.untimed_on)
        how = f"checked on {device}" if row.device_parity else "as at the export"
        engines.setdefault(how, {})[row.parity.engine] = None
    parts = [f"{how} by {', '.join(found)}" for how, found in engines.items()]
    return f"Parity {'; '.join(parts)}."


def pixels(size: tuple[int, int]) -> str:
    """(height, width) as people write sizes: width first, unless it is square anyway."""
    height, width = size
    return f"{width} {_TIMES} {height} px"


def significant(value: float, digits: int = 3) -> str:
    """A positive number with three digits that mean something, and all that stand before the point."""
    return _rounded(value, _decimals(value, digits))


def megabytes(size: int) -> str:
    """Bytes as MB of 10^6 bytes."""
    return f"{significant(size / 1e6)} MB"


def milliseconds(value: float) -> str:
    """A duration, such as ``5.21 ms``."""
    return f"{significant(value)} ms"


def memory(size: int | None) -> str:
    """Bytes of memory as MB of 10^6 bytes."""
    return NOTHING if size is None else megabytes(size)


def duration(value: float | None) -> str:
    """Milliseconds that may be unknown."""
    return NOTHING if value is None else milliseconds(value)


def spread(cv: float | None) -> str:
    """A coefficient of variation; a single process has none."""
    return NOTHING if cv is None else f"{cv:.1%}"


def millions(count: int | None) -> str:
    """A count of instructions."""
    return NOTHING if count is None else f"{count / 1e6:,.1f} M"


def interval(estimate: Estimate) -> str:
    """An interval with as many decimals as its value has, such as ``5.10 to 5.33`` with a dash."""
    decimals = _decimals(estimate.value, 3)
    low, high = (_rounded(value, decimals) for value in (estimate.interval.low, estimate.interval.high))
    return f"{low}{_TO}{high}"


def times(estimate: Estimate | None) -> str:
    """A ratio of latencies, such as ``1.42`` with a times sign."""
    return "fastest" if estimate is None else f"{significant(estimate.value)}{_TIMES}"


def scientific(value: float | None) -> str:
    """An error, such as ``2.1e-6``."""
    if value is None:
        return NOTHING
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    exponent = math.floor(math.log10(value))
    return f"{value / 10**exponent:.1f}e{exponent}"


def decibels(value: float | None) -> str:
    """A signal to noise ratio; an exact match has no noise."""
    if value is None:
        return NOTHING
    return "exact" if value == math.inf else f"{value:.1f} dB"


def share(value: float | None) -> str:
    """A fraction as a percentage; what is not all is never rounded up to 100%."""
    if value is None:
        return NOTHING
    return "100%" if value == 1 else f"{min(value, 0.999):.1%}"


def accuracy(row: Row) -> str:
    """The artifact's accuracy beside the reference's, ``97.9% of 98.3%``; only 8 bits lose any."""
    judged = row.manifest.accuracy
    if judged is None:
        return NOTHING
    if judged.evaluation is None:
        return "not judged"
    score = judged.evaluation.score
    return f"{score.artifact:.1%} of {score.reference:.1%}"


def fidelity(row: Row) -> str:
    """How true to the reference an artifact is: its accuracy, or what is known if that was not judged."""
    judged = row.manifest.accuracy
    if judged is not None and judged.evaluation is not None:
        return f"{judged.evaluation.measure} {accuracy(row)}"
    if (ratio_db := row.manifest.parity.sqnr_db) is not None:
        return f"SQNR {decibels(ratio_db)}"
    agreement = row.manifest.parity.top1_agreement
    return "" if agreement is None else f"{share(agreement)} agree"


def verdict(parity: ParityResult) -> str:
    """One word or two."""
    return _VERDICTS[parity.verdict] if _exact(parity) or not parity.passed else "close"


def _exact(parity: ParityResult) -> bool:
    """Whether what is allowed is rounding, and no loss of precision."""
    return parity.tolerance.max_error is not None


def tolerances(report: Report) -> list[tuple[str, str]]:
    """What parity allows each precision, or each target if targets of one precision differ in it."""
    allowed: dict[Tolerance, list[Row]] = {}
    for row in report.artifacts:
        allowed.setdefault(row.manifest.parity.tolerance, []).append(row)
    precisions = [{str(row.manifest.precision) for row in rows} for rows in allowed.values()]
    distinct = sum(map(len, precisions)) == len(set().union(*precisions))
    return [
        (", ".join(sorted(names) if distinct else [row.name for row in rows]), tolerance(bounds))
        for names, (bounds, rows) in zip(precisions, allowed.items(), strict=True)
    ]


def tolerance(bounds: Tolerance) -> str:
    """What parity allows."""
    parts = []
    if bounds.max_error is not None:
        parts.append(f"error at most {scientific(bounds.max_error).replace('.0e', 'e')}")
    if bounds.min_cosine is not None:
        parts.append(f"cosine at least {bounds.min_cosine}")
    if bounds.min_sqnr_db is not None:
        parts.append(f"SQNR at least {bounds.min_sqnr_db:g} dB")
    if bounds.min_extremes_sqnr_db is not None:
        parts.append(f"on black, white and noise {bounds.min_extremes_sqnr_db:g} dB")
    parts.append(f"the best class agrees on {share(bounds.min_top1)} of inputs")
    parts.append(f"in segmentation on {share(bounds.min_pixels)} of pixels")
    return ", ".join(parts)


def _wrong_there(row: Row) -> bool:
    """Whether a device found an artifact wrong that was right at the export."""
    return row.manifest.passed and row.untimed_parity is not None


def _wrong_emulated(row: Row) -> bool:
    """Whether ARM's kernels found an artifact wrong that was right at the export."""
    parity = row.emulated.parity if row.emulated else None
    return row.manifest.passed and parity is not None and not parity.passed


def _may_be_as_fast(timed: Timed) -> bool:
    return timed.ratio is not None and timed.ratio.interval.low <= 1


def _decimals(value: float, digits: int) -> int:
    if value <= 0 or not math.isfinite(value):
        return digits - 1
    return max(digits - 1 - math.floor(math.log10(value)), 0)


def _rounded(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}"
