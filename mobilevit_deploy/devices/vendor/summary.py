"""What a benchmark tool says: not samples, as ours, but statistics of them."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from mobilevit_deploy.errors import SessionError

NUMBER = r"(\d{1,15}(?:\.\d{1,15})?(?:e[+-]?\d{1,2})?)"
"""A number as C++ streams print it: ``2.71985e+06`` from a million on."""

_TELLING = re.compile(r"error|fail|cannot|not found|denied", re.IGNORECASE)

MIB = 1024 * 1024

Milliseconds = Field(default=None, ge=0)


class Summary(BaseModel):
    """Times in milliseconds; None is what the tool did not print.

    Attributes:
        init_ms: making the model ready.
        first_ms: the first inference.
        warmup_ms: mean of the inferences that the tool leaves out, the first one among them.
        count: inferences that the statistics are made of.
        samples_ms: all of them, where the tool prints them.
        peak_memory_bytes: the process's greatest resident size.
        footprint_bytes: by how much the model made the process grow.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    tool: str
    init_ms: float | None = Milliseconds
    first_ms: float | None = Milliseconds
    warmup_ms: float | None = Milliseconds
    count: int | None = Field(default=None, gt=0)
    mean_ms: float = Field(ge=0)
    min_ms: float | None = Milliseconds
    max_ms: float | None = Milliseconds
    std_ms: float | None = Milliseconds
    p5_ms: float | None = Milliseconds
    p50_ms: float | None = Milliseconds
    p90_ms: float | None = Milliseconds
    p95_ms: float | None = Milliseconds
    p99_ms: float | None = Milliseconds
    samples_ms: tuple[float, ...] = ()
    peak_memory_bytes: int | None = None
    footprint_bytes: int | None = None


def number(pattern: str, output: str, *, scale: float = 1.0) -> float | None:
    """The number that ``pattern`` matches last in ``output``, times ``scale``; ``#`` stands for a number."""
    found = re.findall(pattern.replace("#", NUMBER), output, re.ASCII)
    return float(found[-1]) * scale if found else None


def size(pattern: str, output: str, *, unit: int = 1) -> int | None:
    """The same for a size of ``unit`` bytes."""
    found = number(pattern, output, scale=unit)
    return None if found is None else round(found)


def no_times(tool: str, output: str) -> SessionError:
    """Why there is nothing to read, in the tool's words: its first error, or its first line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = (
        line for line in lines if re.search(r"error|fail|cannot|not found|denied", line, re.IGNORECASE)
    )
    said = next(telling, lines[0] if lines else "")
    return SessionError(
        f"{tool} printed no times" + (f", but: {said[:200].rstrip('.')}." if said else "."),
        remedy=f"Run {tool} by hand on the device; see that it fits the runtime and the device's ABI.",
    )
