"""What a runner answers: one JSON object, the last line of its standard output."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from mobilevit_deploy.devices.transport import Completed
from mobilevit_deploy.errors import SessionError

_OWN_WORDS = "run: "


class _Result(BaseModel):
    """Of any mode; ``affinity`` is the mask of cores that was in force, in hexadecimal."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    runtime: str
    affinity: str = Field(pattern="^[0-9a-f]+$")


class Outputs(_Result):
    """The outputs were written, each of ``output_bytes`` bytes."""

    mode: Literal["outputs"]
    output_bytes: PositiveInt


class Times(_Result):
    """Durations in ms, in the order they were taken; see ``bench.measurement.Timing``.

    ``load_ms`` is the first load of a process, as in an app, and holds what the runtime sets up but once. The
    host's, which opens the file once before, does not: the two are not to be compared.
    """

    mode: Literal["time"]
    load_ms: PositiveFloat
    first_ms: PositiveFloat
    warmup_ms: tuple[PositiveFloat, ...]
    samples_ms: tuple[PositiveFloat, ...] = Field(min_length=1)


class Memory(_Result):
    """Memory of the process; None where the device's kernel does not tell.

    Attributes:
        library_rss_bytes: resident once the runtime was loaded, before the model was.
        peak_rss_bytes: the most that was ever resident.
        pss_bytes: resident after the last inference, pages shared with others counted by their share.
    """

    mode: Literal["memory"]
    library_rss_bytes: PositiveInt | None
    peak_rss_bytes: PositiveInt | None
    pss_bytes: PositiveInt | None


class Counted(_Result):
    """So many inferences were marked for a counter."""

    mode: Literal["count"]
    inferences: PositiveInt


Result = TypeVar("Result", Outputs, Times, Memory, Counted)


def parse(stdout: str, kind: type[Result]) -> Result:
    """Read the answer to a command of ``commands``.

    Raises:
        SessionError: it is not whole, or not an answer of this kind.
    """
    lines = stdout.strip().splitlines()
    try:
        return kind.model_validate_json(lines[-1] if lines else "")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise SessionError(
            f"The runner's answer cannot be read ({where}: {first['msg']}): {_shortened(lines)}.",
            remedy="Run it again; if it stays so, the device may be short of memory or disk.",
        ) from error


def read(completed: Completed, kind: type[Result]) -> Result:
    """Read the answer of a runner that has ended.

    Raises:
        SessionError: it failed, with the reason it gave; or its answer cannot be read.
    """
    if completed.code:
        raise SessionError(
            f"The runner failed on the device: {_reason(completed)}.",
            remedy="Run 'mobilevit-deploy verify' on the file; if it passes there, try another device.",
        )
    return parse(completed.stdout, kind)


def _reason(completed: Completed) -> str:
    lines = [line.strip() for line in completed.stderr.splitlines() if line.strip()]
    own = [line.removeprefix(_OWN_WORDS) for line in lines if line.startswith(_OWN_WORDS)]
    return (own or lines or [f"it ended with code {completed.code}"])[-1].rstrip(".")


def _shortened(lines: list[str]) -> str:
    last = lines[-1] if lines else "nothing"
    return repr(last if len(last) <= 60 else f"{last[:60]}...")
