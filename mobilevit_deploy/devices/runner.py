"""The protocol of a device that runs artifacts.

A target knows its runtime; a device knows how to get a file there, run it in a process of its own, and read
the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.artifact import Manifest
from mobilevit_deploy.bench.measurement import Context, Timing, Untimed


class Job(BaseModel):
    """One process's work: load the artifact, and take ``samples`` samples of it with ``threads`` threads."""

    model_config = ConfigDict(frozen=True)

    path: Path
    manifest: Manifest
    samples: int
    threads: int


class DeviceRunner(Protocol):
    """A device: ``name`` is what ``--device`` takes, ``context`` the kind of process it runs things in."""

    @property
    def name(self) -> str:
        """The device's name."""

    @property
    def context(self) -> Context:
        """The kind of process."""

    def measure(self, job: Job) -> Timing | Untimed:
        """Run one job in a new process.

        Raises:
            SessionError: the runtime refused the artifact, or its process died or hung.
        """
