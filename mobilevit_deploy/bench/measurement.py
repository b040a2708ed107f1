"""The record of one measurement: one artifact in one process, with every sample and where it came from.

A record is of one pass: parity on the device, time, memory, or instructions. Memory has a pass of its own,
since watching it disturbs the clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.environment import Conditions, Machine
from mobilevit_deploy.devices.vendor.summary import Summary
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.quantize import Precision

FORMAT: Literal["mobilevit-deploy/measurement"] = "mobilevit-deploy/measurement"
SCHEMA_VERSION = 2

WhyUntimed = Literal["not-timed", "refused", "failed"]
Work = Literal["parity", "time", "memory", "count", "tool"]
"""A pass over an artifact: compare, time, look at memory, count instructions, run the vendor's own tool."""

Context = Literal["host", "adb-shell", "app", "emulator"]


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
        preprocess_ms: making the input out of a decoded photograph; empty where an app does that.
        cores: hexadecimal mask of the cores that the process was kept on; empty for all.
        before: state of the machine just before loading.
        after: and just after the last sample.
        invalid: why this is no fair time, such as clocks that were lowered; empty if it is one.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    status: Literal["timed"] = "timed"
    engine: str
    input: str
    load_ms: float = Field(gt=0)
    first_ms: float = Field(gt=0)
    warmup_ms: tuple[float, ...]
    samples_ms: tuple[float, ...] = Field(min_length=1)
    preprocess_ms: tuple[float, ...] = ()
    cores: str = ""
    machine: Machine
    before: Conditions
    after: Conditions
    invalid: str = ""


class Weighed(BaseModel):
    """Memory of one process that loaded the artifact and ran it a few times.

    Attributes:
        engine: runtime and version.
        before_bytes: resident before the file was opened, with the runtime's library loaded.
        peak_bytes: the most that was ever resident.
        pss_bytes: resident at the end, shared pages counted in parts; None where that cannot be read.
    """

    model_config = ConfigDict(frozen=True)

    status: Literal["weighed"] = "weighed"
    engine: str
    before_bytes: int = Field(gt=0)
    peak_bytes: int = Field(gt=0)
    pss_bytes: int | None


class Counted(BaseModel):
    """Instructions of single inferences on an emulated processor. It is no latency: nothing has a duration.

    Attributes:
        engine: runtime and version.
        cpu: the processor that was emulated, such as ``cortex-a76``.
        instructions: of each inference, the first one left out.
    """

    model_config = ConfigDict(frozen=True)

    status: Literal["counted"] = "counted"
    engine: str
    cpu: str
    instructions: tuple[int, ...] = Field(min_length=1)


class Quoted(BaseModel):
    """What a vendor's own benchmark tool printed. It measures in its own way: see ``devices.vendor``."""

    model_config = ConfigDict(frozen=True)

    status: Literal["quoted"] = "quoted"
    summary: Summary


class Checked(BaseModel):
    """Parity of what the device computed with the reference; its ``engine`` ran there."""

    model_config = ConfigDict(frozen=True)

    status: Literal["checked"] = "checked"
    parity: ParityResult


class Untimed(BaseModel):
    """Why there is no time.

    Attributes:
        status: ``not-timed`` where a time would mean nothing or the target cannot run; ``refused`` where the
            artifact is not right there; ``failed`` if its process died or the runtime refused it.
        reason: in plain words.
    """

    model_config = ConfigDict(frozen=True)

    status: WhyUntimed
    reason: str = Field(min_length=1)


Outcome = Timing | Weighed | Counted | Quoted | Checked | Untimed


class Measurement(BaseModel):
    """One artifact in one process, or why there is no time of it.

    Attributes:
        run: names the invocation that made it; within one, artifacts took turns, and their rounds pair up.
        device: ``host`` for the machine that wrote the record.
        context: what kind of process ran the artifact: a phone is faster from a shell than in an app.
        threads: that the runtime was given.
        cores: what they were asked to run on, such as ``big``; empty for all.
        work: which pass it was.
        round: counts processes of a pass from 1.
        started_at: in UTC.
        outcome: what the pass found, or why it found nothing.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    format: Literal["mobilevit-deploy/measurement"] = FORMAT
    schema_version: int = SCHEMA_VERSION
    run: str
    subject: Subject
    device: str
    context: Context
    threads: int
    cores: str = ""
    work: Work = "time"
    round: int
    started_at: datetime
    outcome: Outcome = Field(discriminator="status")

    @property
    def timing(self) -> Timing | None:
        """The outcome if it is a fair time."""
        return self.outcome if isinstance(self.outcome, Timing) and not self.outcome.invalid else None

    @property
    def is_wrong(self) -> bool:
        """Whether the artifact was not proven right, at its export or on this device."""
        if isinstance(self.outcome, Checked):
            return not self.outcome.parity.passed
        return self.outcome.status == "refused"

    @property
    def refusal(self) -> str | None:
        """Why there is no time of the artifact on this device; None if nothing speaks against it."""
        if self.work not in ("parity", "time"):
            return None
        if isinstance(self.outcome, Untimed):
            return self.outcome.reason
        if isinstance(self.outcome, Checked) and not self.outcome.parity.passed:
            return f"It is not right on {self.device}: {'; '.join(self.outcome.parity.reasons)}."
        return None
