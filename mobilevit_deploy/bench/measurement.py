"""The record of one measurement: one artifact in one process, with every sample and where it came from."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.environment import Conditions, Machine
from mobilevit_deploy.quantize import Precision

FORMAT: Literal["mobilevit-deploy/measurement"] = "mobilevit-deploy/measurement"
SCHEMA_VERSION = 1

WhyUntimed = Literal["not-timed", "refused", "failed"]
Context = Literal["host", "adb-shell", "app"]


class Subject(BaseModel):
    """The artifact that was measured, as its manifest describes it; ``image_size`` is (height, width)."""

    model_config = ConfigDict(frozen=True)

    file: str
    sha256: str
    bytes: int
    target: str
    precision: Precision
    model: str
    image_size: tuple[int, int]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """The subject that ``manifest`` describes."""
        pixels = manifest.inputs[0]
        return cls(
            file=manifest.file,
            sha256=manifest.sha256,
            bytes=manifest.bytes,
            target=manifest.target,
            precision=manifest.precision,
            model=manifest.model.name,
            image_size=(pixels.shape[pixels.layout.index("H")], pixels.shape[pixels.layout.index("W")]),
        )


class Timing(BaseModel):
    """What the clock said, and under which circumstances; every inference is kept, in the order it was run.

    Attributes:
        engine: runtime and version.
        input: what the artifact was fed.
        load_ms: opening the file, with the runtime's library imported and the file in the system's cache.
        first_ms: the first inference.
        warmup_ms: the inferences after it, until they were steady.
        samples_ms: the steady ones.
        before: state of the machine just before loading.
        after: and just after the last sample.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    status: Literal["timed"] = "timed"
    engine: str
    input: str
    load_ms: float = Field(gt=0)
    first_ms: float = Field(gt=0)
    warmup_ms: tuple[float, ...]
    samples_ms: tuple[float, ...] = Field(min_length=1)
    machine: Machine
    before: Conditions
    after: Conditions


class Untimed(BaseModel):
    """Why there is no time.

    Attributes:
        status: ``not-timed`` where a time would mean nothing or the target cannot run; ``refused`` where the
            artifact is not proven right; ``failed`` if its process died or the runtime refused it.
        reason: in plain words.
    """

    model_config = ConfigDict(frozen=True)

    status: WhyUntimed
    reason: str = Field(min_length=1)


class Measurement(BaseModel):
    """One artifact in one process, or why there is no time of it.

    Attributes:
        device: ``host`` for the machine that wrote the record.
        context: what kind of process ran the artifact: a phone is faster from a shell than in an app.
        round: counts processes from 1.
        started_at: in UTC.
        outcome: a time, or why there is none.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["mobilevit-deploy/measurement"] = FORMAT
    schema_version: int = SCHEMA_VERSION
    subject: Subject
    device: str
    context: Context
    threads: int
    round: int
    started_at: datetime
    outcome: Timing | Untimed = Field(discriminator="status")

    @property
    def timing(self) -> Timing | None:
        """The outcome if it is a time."""
        return self.outcome if isinstance(self.outcome, Timing) else None
