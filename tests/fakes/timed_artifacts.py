"""Artifacts of the timed target with their manifests, and measurements, as the product writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mobilevit_deploy.artifact import Manifest, ModelCard, TensorSpec, digest, manifest_path, size
from mobilevit_deploy.bench.environment import Cluster, Conditions, Machine
from mobilevit_deploy.bench.measurement import Measurement, Subject, Timing
from mobilevit_deploy.image.spec import PreprocessSpec
from mobilevit_deploy.parity import tolerance
from mobilevit_deploy.parity.result import CaseParity, OutputParity, ParityResult, Verdict
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.task import Task

LABELS = ("circle", "square", "star")
CASES = ("astronaut", "coffee", "black", "white")


def write_artifact(folder: Path, name: str = "a", *, verdict: Verdict = "pass", **behaviour: Any) -> Path:
    """Write an artifact that behaves as the timed target says, and its manifest; returns its path."""
    path = folder / f"{name}.timed"
    path.write_text(json.dumps(behaviour), encoding="utf-8")
    write_manifest(manifest_of(path, parity(verdict)), folder)
    return path


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write a manifest beside its artifact."""
    manifest_path(folder / manifest.file).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def manifest_of(path: Path, outcome: ParityResult, **changes: Any) -> Manifest:
    """The manifest of a 3-class model, 32 pixels high and 48 wide."""
    pixels = TensorSpec(name="pixel_values", shape=(1, 3, 32, 48), dtype="float32", layout="NCHW")
    logits = TensorSpec(name="logits", shape=(1, len(LABELS)), dtype="float32", layout="NC")
    preprocessing = PreprocessSpec(
        resize_shortest_edge=36,
        resample="bilinear",
        crop=(32, 48),
        rescale_factor=1 / 255,
        channel_order="BGR",
    )
    content = {
        "file": path.name,
        "sha256": digest(path),
        "bytes": size(path),
        "target": "timed",
        "converter": "none",
        "task": Task.CLASSIFICATION,
        "precision": Precision.FP32,
        "inputs": (pixels,),
        "outputs": (logits,),
        "preprocessing": preprocessing,
        "labels": LABELS,
        "model": ModelCard(
            name="tiny", source="demo", weights_sha256="0" * 64, config={}, preprocessing=preprocessing
        ),
        "rewrites": (),
        "libraries": {"numpy": version("numpy")},  # that runs it here: the proof still holds
        "parity": outcome,
    }
    return Manifest.model_validate({**content, **changes})


def parity(verdict: Verdict = "pass", *, error: float = 2e-6) -> ParityResult:
    """A parity result whose worst input has ``error`` of the reference's spread."""
    if verdict == "not-run":
        return ParityResult(
            verdict=verdict, engine="clock 1.0", tolerance=tolerance.FP32, reasons=("no runtime",)
        )
    rows = tuple(
        CaseParity(
            case=case,
            spread=8.0,
            max_abs_error=8.0 * error / index,
            mean_abs_error=4.0 * error / index,
            max_error=error / index,
            cosine=0.999999,
            sqnr_db=110.0 + index,
            top1_agreement=float(verdict == "pass"),
            top1_reference=0,
            top1_artifact=0 if verdict == "pass" else 1,
            top5_overlap=1.0,
        )
        for index, case in enumerate(CASES, start=1)
    )
    output = OutputParity(
        name="logits",
        decides="inputs",
        max_abs_error=8.0 * error,
        max_error=error,
        cosine=0.999999,
        sqnr_db=111.0,
        top1_agreement=1.0 if verdict == "pass" else 0.0,
        top5_overlap=1.0,
        cases=rows,
    )
    reasons = () if verdict == "pass" else ("logits: best class agrees on 0.00% of inputs, 100% are needed",)
    return ParityResult(
        verdict=verdict, engine="clock 1.0", tolerance=tolerance.FP32, outputs=(output,), reasons=reasons
    )


def machine(**changes: Any) -> Machine:
    """A desktop with four cores."""
    content = {
        "system": "Debian GNU/Linux 12",
        "kernel": "6.1.0",
        "architecture": "x86_64",
        "cpu": "Example 9000",
        "cpu_features": ("avx2",),
        "cores": 4,
        "usable_cores": 4,
        "memory_bytes": 16_000_000_000,
        "virtual": False,
        "python": "3.11.9",
        "libraries": {"numpy": "2.0"},
    }
    return Machine.model_validate({**content, **changes})


def conditions(**changes: Any) -> Conditions:
    """An idle machine on mains."""
    content = {
        "busy": 0.01,
        "load_average": (0.1, 0.2, 0.3),
        "memory_available_bytes": 8_000_000_000,
        "frequencies_mhz": (3000.0, 3000.0),
        "governors": (),
        "power": None,
    }
    return Conditions.model_validate({**content, **changes})


def phone(**changes: Any) -> Machine:
    """A phone with eight cores of three kinds."""
    content = {
        "name": "Maker Phone 7",
        "system": "Android 14 (API 34)",
        "kernel": "5.10.157-android13",
        "architecture": "arm64-v8a",
        "cpu": "Chip G2",
        "cpu_features": ("asimd", "asimdhp", "asimddp"),
        "cores": 8,
        "usable_cores": 8,
        "memory_bytes": 8_000_000_000,
        "clusters": (
            Cluster(kind="little", cores=(0, 1, 2, 3), max_mhz=1803.0),
            Cluster(kind="mid", cores=(4, 5), max_mhz=2348.0),
            Cluster(kind="big", cores=(6, 7), max_mhz=2850.0),
        ),
        "python": "",
        "libraries": {},
    }
    return machine(**{**content, **changes})


def phone_conditions(**changes: Any) -> Conditions:
    """A cool phone that lies there with its screen off and its cable out."""
    content = {
        "frequencies_mhz": (300.0,) * 4 + (400.0,) * 2 + (500.0, 2850.0),
        "limits_mhz": (1803.0,) * 4 + (2348.0,) * 2 + (2850.0,) * 2,
        "governors": ("sched_pixel (exynos)",),
        "power": "battery",
        "battery": 0.82,
        "battery_c": 27.1,
        "thermal_status": 0,
        "temperatures_c": {"SKIN": 29.5},
        "screen_on": False,
        "low_power_mode": False,
        "time_in_state_ms": {"cpu0": {300: 1000, 1803: 1000}, "cpu6": {500: 1000, 2850: 1000}},
    }
    return conditions(**{**content, **changes})


def timing(**changes: Any) -> Timing:
    """Five samples around 2 ms."""
    content = {
        "engine": "clock 1.0",
        "input": "noise",
        "load_ms": 12.5,
        "first_ms": 4.0,
        "warmup_ms": (2.5, 2.1),
        "samples_ms": (2.0, 2.1, 1.9, 2.0, 2.3),
        "machine": machine(),
        "before": conditions(),
        "after": conditions(),
    }
    return Timing.model_validate({**content, **changes})


def measurement(of: Manifest | None = None, **changes: Any) -> Measurement:
    """A measurement of ``of``, or of an artifact that exists nowhere."""
    subject = Subject(
        file="a.timed",
        sha256="1" * 64,
        bytes=2_600_000,
        target="timed",
        precision=Precision.FP32,
        model="tiny",
        image_size=(32, 48),
    )
    content = {
        "run": "one",
        "subject": Subject.of(of) if of else subject,
        "device": "host",
        "context": "host",
        "threads": 1,
        "round": 1,
        "started_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "outcome": timing(),
    }
    return Measurement.model_validate({**content, **changes})
