"""All combinations, each once, and every one that is left out is counted."""

from __future__ import annotations

from pathlib import Path

from mobilevit_deploy.sweep.matrix import Matrix, expand
from mobilevit_deploy.sweep.plan import parse_plan


def matrix(text: str) -> Matrix:
    return expand(parse_plan(text, Path("/somewhere/sweep.toml")))


def keys(of: Matrix) -> list[str]:
    return [variant.key for variant in of.variants]


def test_every_combination_comes_once() -> None:
    found = matrix(
        'models = ["demo", "demo-segmentation"]\ntargets = ["toy", "toy"]\nimage_sizes = [64, "64x96"]'
    )
    assert keys(found) == [
        f"{model} toy fp32 {size}" for model in ("demo", "demo-segmentation") for size in ("64", "64x96")
    ]
    assert not found.skipped


def test_what_a_target_does_not_offer_is_counted() -> None:
    found = matrix('targets = ["toy", "timed"]\nprecisions = ["fp32", "int8"]\nimage_sizes = [64, 96]')
    assert len(found.variants) == 6
    assert found.skipped == {"timed has no int8": 2}


def test_all_precisions_are_those_of_each_target() -> None:
    found = matrix('targets = ["toy", "timed"]\nprecisions = ["all"]')
    assert keys(found) == ["demo toy fp32", "demo toy int8", "demo timed fp32"]
    assert not found.skipped


def test_converters_are_those_of_the_target_that_is_named() -> None:
    text = 'targets = ["tflite", "toy"]\n[export.converters]\ntflite = ["litert-torch", "keras"]'
    assert keys(matrix(text)) == ["demo tflite fp32", "demo tflite fp32 keras", "demo toy fp32"]


def test_an_exclusion_leaves_out_artifacts() -> None:
    text = 'targets = ["toy"]\nprecisions = ["fp32", "int8"]\nimage_sizes = [64, 96]\n'
    found = matrix(text + '[[exclude]]\nprecision = "int8"\nimage_size = 96')
    assert keys(found) == ["demo toy fp32 64", "demo toy fp32 96", "demo toy int8 64"]
    assert found.skipped == {"left out by [[exclude]]": 1}


def test_an_exclusion_by_threads_leaves_out_a_measurement_and_not_the_artifact() -> None:
    text = 'targets = ["toy", "timed"]\nthreads = [1, 2]\n[[exclude]]\ntarget = "toy"\nthreads = 2'
    found = matrix(text)
    assert keys(found) == ["demo toy fp32", "demo timed fp32"]
    assert [(step.threads, [each.target for each in step.variants]) for step in found.passes] == [
        (1, ["toy", "timed"]),
        (2, ["timed"]),
    ]
    assert found.skipped == {"left out by [[exclude]]": 1}


def test_devices_with_the_same_artifacts_measure_side_by_side() -> None:
    text = 'targets = ["toy", "timed"]\ndevices = ["host", "adb:a", "adb:b"]\n'
    assert [step.devices for step in matrix(text).passes] == [("host", "adb:a", "adb:b")]
    apart = matrix(text + '[[exclude]]\ndevice = "host"\ntarget = "toy"').passes
    assert [step.devices for step in apart] == [("host",), ("adb:a", "adb:b")]


def test_clusters_of_cores_are_a_phones() -> None:
    found = matrix('targets = ["toy"]\ndevices = ["host", "adb"]\ncores = ["all", "big"]')
    assert [(step.cores, step.devices) for step in found.passes] == [("", ("host", "adb")), ("big", ("adb",))]
    assert found.skipped == {"host has no cores called big, which are a phone's": 1}
