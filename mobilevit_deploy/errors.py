"""Every error that a user can cause or meet: one tree, each naming its stage and what to do next.

The command line prints ``problem`` and ``remedy`` and leaves with ``exit_code``; nothing else may end in a
traceback. Wrong arguments from Python code stay ``TypeError``/``ValueError``.
"""

from __future__ import annotations

from typing import ClassVar


class DeployError(Exception):
    """Something that the user can mend.

    Args:
        problem: what is wrong, with the file, name or number that is wrong.
        remedy: what to do next, in the imperative.
    """

    stage: ClassVar[str] = "run"
    exit_code: ClassVar[int] = 3

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def as_dict(self) -> dict[str, str]:
        """For ``--json``."""
        return {"stage": self.stage, "problem": self.problem, "remedy": self.remedy}

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling, and errors cross process borders.
        return _rebuild, (type(self), self.problem, self.remedy)

    def __str__(self) -> str:
        return f"{self.stage}: {self.problem} {self.remedy}"


def first_line(error: BaseException) -> str:
    """The first line of a library's error that says anything, without its full stop, for quoting."""
    lines = (line.strip().rstrip(".") for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def _rebuild(kind: type[DeployError], problem: str, remedy: str) -> DeployError:
    return kind(problem, remedy=remedy)


class UsageError(DeployError):
    """The command or the call asks for something that does not exist, such as an unknown target."""

    stage = "usage"
    exit_code = 2


class CheckpointError(DeployError):
    """A checkpoint that cannot be read, does not fit its config, or holds unusable weights."""

    stage = "checkpoint"


class HubError(CheckpointError):
    """A model hub that cannot be reached, or does not have what was asked for."""

    stage = "hub"


class ImageError(DeployError):
    """An input that is not a usable picture."""

    stage = "image"


class EvaluationError(DeployError):
    """A set of labelled pictures that is not laid out as one, or does not fit the model."""

    stage = "evaluation"


class TargetError(DeployError):
    """A target that cannot run here; the remedy is the command that mends it."""

    stage = "target"


class ExportError(DeployError):
    """A converter that refused the graph."""

    stage = "export"


class ArtifactError(DeployError):
    """An exported file or its manifest that is missing, changed, or of a newer schema."""

    stage = "artifact"


class SessionError(DeployError):
    """A runtime that could not open or run an artifact."""

    stage = "session"


class DeviceError(DeployError):
    """A device that cannot be used: not there, not authorised, full, or without what a measurement needs."""

    stage = "device"


class DeviceLostError(DeviceError):
    """A device that went away while it was used: cable, reboot, or the adb server."""


class OutputError(DeployError):
    """An output folder that cannot be written: missing rights, full disk."""

    stage = "output"
