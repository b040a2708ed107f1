"""What is compared: one file of ours or of a peer's, what it computes, and how long it takes."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

OURS = "mobilevit-deploy"
"""The maker of our own files."""


class Key(BaseModel):
    """Which file.

    Attributes:
        model: ``s`` or ``xxs``.
        runtime: name of a target.
        maker: ``OURS``, or a peer's name.
        precision: see ``benchmarks.peers.Peer``.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    runtime: str
    maker: str
    precision: str

    @property
    def label(self) -> str:
        """For progress, and file names."""
        return "-".join((self.model, self.runtime, self.maker, self.precision)).replace(" ", "-")


class Accuracy(BaseModel):
    """What a file computes, against the reference in PyTorch on held-out pictures; reported, never gated.

    Attributes:
        sqnr_db: power of the reference's logits over all pictures, to that of the difference.
        agreement: share of pictures with the reference's first class.
        top1: share of pictures with the right class; None for a model that knows other classes.
    """

    sqnr_db: float
    agreement: float
    top1: float | None
    pictures: int


class Entry(BaseModel):
    """A file that was made and checked, or why there is none.

    Attributes:
        fingerprint: of what it was made by; another one means that it has to be made again.
        path: where it lies; None if it could not be made.
        failure: why it could not be made, or not be run.
        export_s: from a new process to the file on disk.
    """

    key: Key
    fingerprint: str
    path: Path | None = None
    bytes: int = 0
    export_s: float = 0.0
    accuracy: Accuracy | None = None
    failure: str | None = None
    libraries: dict[str, str] = {}


class Turn(BaseModel):
    """One process's samples of one file, in ms; see ``mobilevit_deploy.bench.measurement.Timing``."""

    key: Key
    round: int
    load_ms: float
    first_ms: float
    warmup_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]
    busy_before: float
