"""An artifact is made again exactly if an export would now write another one."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from fakes.timed_artifacts import parity
from mobilevit_deploy.accuracy.result import AccuracyResult, Evaluation, Gate, Score
from mobilevit_deploy.artifact import Quantization, manifest_path
from mobilevit_deploy.demo import demo_checkpoint
from mobilevit_deploy.errors import CheckpointError, UsageError
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.sweep.made import Made, look
from mobilevit_deploy.sweep.matrix import expand
from mobilevit_deploy.sweep.plan import parse_plan

SWEEP = 'targets = ["timed"]\nimage_sizes = [64]\noutput = "out"\n'


@pytest.fixture
def looked(tmp_path: Path) -> Callable[..., list[Made]]:
    def run(more: str = "", text: str = SWEEP) -> list[Made]:
        plan = parse_plan(text + more, tmp_path / "sweep.toml")
        return look(plan, expand(plan).variants)

    return run


def evaluation(pictures: str) -> AccuracyResult:
    score = Score(reference=1.0, artifact=1.0)
    found = Evaluation(
        pictures=pictures, count=9, engine="clock", measure="top-1", score=score, agreement=1.0
    )
    return AccuracyResult(verdict="pass", gate=Gate(), evaluation=found)


def test_what_is_there_is_not_made_again(
    made_already: Callable[..., Path], looked: Callable[..., list[Made]]
) -> None:
    path = made_already(64)
    (made,) = looked()
    assert (made.to_do, made.path) == (False, path)


@pytest.mark.parametrize(
    "changes",
    [
        {"libraries": {"mobilevit-deploy": version("mobilevit-deploy"), "numpy": "1.0"}},
        {"labels": ("circle", "square")},
        {"converter": "another"},
        {"rewrites": ("fold_batch_norm",)},
        {"quantization": Quantization(calibration="9 pictures, /photos")},
        {"accuracy": evaluation("/labelled")},
        {"accuracy": AccuracyResult(verdict="not-run", gate=Gate(), reasons=("--no-gate",))},
    ],
    ids=",".join,
)
def test_what_was_made_in_another_way_is_made_anew(
    made_already: Callable[..., Path], looked: Callable[..., list[Made]], changes: dict[str, Any]
) -> None:
    made_already(64, **changes)
    assert looked()[0].to_do


def test_other_weights_or_preprocessing_are_another_model(
    made_already: Callable[..., Path], looked: Callable[..., list[Made]], reference: Reference
) -> None:
    made_already(64, model=reference.resized((64, 64)).card().model_copy(update={"weights_sha256": "0" * 64}))
    assert looked()[0].to_do
    made_already(64, model=reference.card())
    assert looked()[0].to_do


@pytest.mark.parametrize("verdict", ["fail", "not-run"])
def test_what_did_not_pass_is_made_anew(
    made_already: Callable[..., Path], looked: Callable[..., list[Made]], verdict: str
) -> None:
    made_already(64, parity=parity(verdict))  # type: ignore[arg-type]
    assert looked()[0].to_do


def test_what_is_damaged_is_made_anew(
    made_already: Callable[..., Path], looked: Callable[..., list[Made]]
) -> None:
    path = made_already(64)
    path.write_text("{}")
    assert looked()[0].to_do
    manifest_path(made_already(64)).write_text("{")
    assert looked()[0].to_do


def test_accuracy_that_nobody_wants_judged_may_have_been(
    made_already: Callable[..., Path], looked: Callable[..., list[Made]]
) -> None:
    made_already(64, accuracy=evaluation("/labelled"))
    assert not looked("[export]\ngate = false")[0].to_do


def test_a_model_that_cannot_be_loaded_does_not_stop_the_others(
    made_already: Callable[..., Path], looked: Callable[..., list[Made]]
) -> None:
    made_already(64)
    broken, fine = looked('models = ["./absent", "demo"]')
    assert isinstance(broken.error, CheckpointError)
    assert not broken.to_do
    assert fine.manifest


def test_two_models_of_one_name_are_refused(tmp_path: Path, looked: Callable[..., list[Made]]) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same").symlink_to(demo_checkpoint())
    with pytest.raises(UsageError, match="would both be written to"):
        looked('models = ["a/same", "./b/same"]')
