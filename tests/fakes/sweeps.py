"""Artifacts of the timed target as a sweep of the bundled model makes them: quickly, and quick to measure."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from fakes.timed_artifacts import manifest_of, parity
from mobilevit_deploy.artifact import read_manifest
from mobilevit_deploy.choices import artifact_name, export_options
from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.output import publish, staging
from mobilevit_deploy.pipeline import Exported, libraries
from mobilevit_deploy.progress import OnStage
from mobilevit_deploy.reference import Reference, load_model
from mobilevit_deploy.target import get_target


def write_made(folder: Path, reference: Reference, **changes: Any) -> Path:
    """Write an artifact and its manifest, which ``changes`` change; returns its path."""
    target = get_target("timed")
    folder.mkdir(exist_ok=True)
    path = folder / artifact_name(reference, target, export_options(target, "fp32"))
    with staging(folder) as stage:
        draft = stage / path.name
        draft.write_text(f'{{"run_ms": 1, "for": "{path.name}"}}', encoding="utf-8")
        content = {"model": reference.card(), "labels": reference.labels, "libraries": libraries(target)}
        return publish(draft, manifest_of(draft, parity(), **{**content, **changes}), folder)


def export(*, output: Path, on_stage: OnStage, **_: Any) -> Exported:
    """In the place of ``pipeline.export``, for what is about everything around it."""
    on_stage("convert")
    path = write_made(Path(output), load_model())
    return Exported(path, read_manifest(path))


def refuse(**_: Any) -> Exported:
    raise CheckpointError("It is broken.", remedy="Mend it.")


def crash(**_: Any) -> Exported:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def linger(*, folder: Path, on_stage: OnStage, **_: Any) -> Exported:
    with staging(folder):
        time.sleep(60)
    raise AssertionError


def wait_for_lingering(*, folder: Path, output: Path, on_stage: OnStage, **_: Any) -> Exported:
    while not list(folder.iterdir()):
        time.sleep(0.05)
    return export(output=output, on_stage=on_stage)
