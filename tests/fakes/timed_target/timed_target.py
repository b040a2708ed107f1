"""A target whose artifact, a JSON file, says how its session behaves.

``{"run_ms": 2}`` takes 2 ms an inference. Further keys: ``load_ms``; ``first_ms``, extra for the first
inference; ``load_bytes``, memory taken while loading; ``scale``, of the mean that is given; ``tells_cores``,
in the engine's name; ``measurable`` false; ``refuses``, a message; ``raises``, a message; ``signal``, a
number that the process kills itself with; ``hangs``, a file that it makes before it does so; ``prints``, to
both streams.
The environment variable TIMED_TARGET=unusable makes the target say that it cannot run here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mobilevit_deploy.artifact import Artifact
from mobilevit_deploy.errors import SessionError
from mobilevit_deploy.parity import tolerance
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import Availability, ExportOptions, GraphSpec

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


class TimedTarget:
    name = "timed"
    suffix = ".timed"
    extra = ""
    libraries = ("numpy",)
    converters = ("none",)
    precisions = {Precision.FP32: tolerance.FP32}  # noqa: RUF012

    def availability(self) -> Availability:
        if os.environ.get("TIMED_TARGET") == "unusable":
            return Availability(False, "clock", reason="there is no clock", remedy="Buy a clock.")
        return Availability(usable=True, engine="clock")

    def rewrites(self, options: ExportOptions) -> tuple[str, ...]:  # noqa: ARG002
        return ()

    def export(self, _graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> Artifact:
        out.write_text("{}", encoding="utf-8")
        return Artifact(out, self.name, options.precision, (spec.input,), (spec.output,))

    def open_session(self, artifact: Artifact, *, threads: int = 1) -> TimedSession:
        return TimedSession(json.loads(artifact.path.read_text(encoding="utf-8")), threads)


class TimedSession:
    def __init__(self, behaviour: dict[str, Any], threads: int) -> None:
        self._behaviour = behaviour
        self._runs = 0
        self.engine = f"clock 1.0 with {threads} threads"
        if behaviour.get("tells_cores"):
            self.engine += f" on cores {os.sched_getaffinity(0)}"
        self._weights = np.ones(behaviour.get("load_bytes", 0), np.uint8)
        self.measurable = behaviour.get("measurable", True)
        if "prints" in behaviour:
            print(behaviour["prints"], flush=True)
            print(behaviour["prints"], file=sys.stderr, flush=True)
        if "refuses" in behaviour:
            raise SessionError(behaviour["refuses"], remedy="Export it again.")
        _wait(behaviour.get("load_ms", 0))

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self._runs += 1
        if "raises" in self._behaviour:
            raise RuntimeError(self._behaviour["raises"])
        if "signal" in self._behaviour:
            os.kill(os.getpid(), self._behaviour["signal"])
        if "hangs" in self._behaviour:
            Path(self._behaviour["hangs"]).touch()
            time.sleep(60)
        _wait(
            self._behaviour.get("run_ms", 0) + (self._behaviour.get("first_ms", 0) if self._runs == 1 else 0)
        )
        mean = inputs[0].mean() * self._behaviour.get("scale", 0)
        return (np.full((1, 3), mean, np.float32),)

    def close(self) -> None:
        pass


def _wait(ms: float) -> None:
    # Spinning keeps time to microseconds; sleeping does not.
    until = time.perf_counter() + ms / 1000
    while time.perf_counter() < until:
        pass
