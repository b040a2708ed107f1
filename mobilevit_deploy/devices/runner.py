"""The protocol of a device that runs artifacts.

A target knows its runtime; a device knows how to get a file there, run it in a process of its own, and read
the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.artifact import Artifact, Manifest
from mobilevit_deploy.bench.measurement import (
    Context,
    Counted,
    Quoted,
    Subject,
    Timing,
    Untimed,
    Weighed,
    Work,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT = "uniform noise over the input's range (seed 0)"
"""What artifacts are fed while they are timed, everywhere: see ``noise``."""


class Job(BaseModel):
    """One process's work: load the artifact, and do one pass over it.

    Attributes:
        path: of the artifact.
        manifest: its own.
        work: the pass; ``time`` takes ``samples`` samples.
        threads: that the runtime may use.
        cores: ``little``, ``mid``, ``big``, a hexadecimal mask, or empty for all.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    manifest: Manifest
    work: Work = "time"
    samples: int
    threads: int
    cores: str = ""

    @property
    def artifact(self) -> Artifact:
        """What the manifest describes, at ``path``."""
        return self.manifest.artifact(self.path.parent)

    @cached_property
    def subject(self) -> Subject:
        """What records say of the artifact."""
        return Subject.of(self.manifest)


class DeviceRunner(Protocol):
    """A device that artifacts are proven and measured on.

    Attributes:
        name: what ``--device`` takes.
        context: the kind of process it runs things in.
        works: passes that mean something there; an emulated processor has no time.
        tools: targets whose vendor's own benchmark tool is to run there too.
    """

    name: str
    context: Context
    works: tuple[Work, ...]
    tools: tuple[str, ...]

    def cannot_run(self, manifest: Manifest) -> str | None:
        """Why artifacts of this kind cannot run there at all; None if they can."""

    def settle(self, on_wait: Callable[[str], None]) -> None:
        """Wait until a time would be fair: cool, charged, nothing saving power; ``on_wait`` is told why.

        Raises:
            DeviceError: it did not become so in time.
        """

    def proof_holds(self, manifest: Manifest) -> bool:
        """Whether the parity in the manifest was proven on this device, with the runtime that it has now."""

    def outputs(
        self, job: Job, inputs: Sequence[NDArray[Any]]
    ) -> tuple[str, Sequence[tuple[NDArray[Any], ...]]]:
        """Run the artifact there on each input; returns the engine, and the outputs of each.

        Raises:
            SessionError: the runtime refused the artifact, or its process died or hung.
            DeviceError: the device cannot be used.
        """

    def measure(self, job: Job) -> Timing | Weighed | Counted | Quoted | Untimed:
        """Run one job in a new process.

        Raises:
            SessionError: the runtime refused the artifact, or its process died or hung.
            DeviceError: the device cannot be used.
        """

    def close(self) -> None:
        """End what still runs there, and let the device go."""


def noise(artifact: Artifact) -> tuple[NDArray[Any], ...]:
    """An input for each of the artifact's, the same for everyone: what is timed hangs on no picture."""
    import numpy as np

    random = np.random.default_rng(0)
    return tuple(
        random.integers(0, 256, spec.shape, np.uint8)
        if spec.dtype == "uint8"
        else random.random(spec.shape, np.float32).astype(spec.dtype)
        for spec in artifact.inputs
    )
