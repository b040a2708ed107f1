from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mobilevit_deploy.demo import demo_checkpoint
from mobilevit_deploy.demo import train as training
from mobilevit_deploy.demo.evaluate import MASK_LABELS
from mobilevit_deploy.demo.shapes import CLASSES
from mobilevit_deploy.demo.tasks import TASKS, TaskName
from mobilevit_deploy.demo.train import BATCH, STATE, Recipe, main, train
from mobilevit_deploy.image import MobileViTImageProcessor
from mobilevit_deploy.model import MobileViTForImageClassification, MobileViTForSemanticSegmentation


def recipe(task: TaskName, *, batches: int) -> Recipe:
    return Recipe(
        task_name=task, backbone=None, pictures=batches * BATCH, seed=0, processes=1, bfloat16=False
    )


@pytest.mark.parametrize("task", TaskName)
def test_sizes_grow_and_end_at_the_size_of_deployment(task: TaskName) -> None:
    plan = recipe(task, batches=100)
    sizes = [plan.image_size(batch) for batch in range(plan.batches)]
    assert sizes == sorted(sizes)
    assert set(sizes) == set(plan.task.schedule.sizes)
    assert sizes[-1] == 256


def test_pictures_grow_from_bold_to_as_hard_as_the_held_out_ones() -> None:
    plan = recipe(TaskName.CLASSIFICATION, batches=100)
    assert plan.difficulty(0) == 0.0
    assert plan.difficulty(20) == pytest.approx(0.5)
    assert plan.difficulty(99) == 1.0


def test_segmentation_starts_from_a_backbone_that_knows_hard_pictures() -> None:
    assert recipe(TaskName.SEGMENTATION, batches=100).difficulty(0) == 1.0


@pytest.mark.parametrize("task", TaskName)
def test_the_learning_rate_rises_once_and_falls_to_almost_nothing(task: TaskName) -> None:
    plan = recipe(task, batches=100)
    rates = [plan.learning_rate(batch) for batch in range(plan.batches)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 0.01 * max(rates)


def test_a_segmenter_begins_with_the_weights_of_the_backbone() -> None:
    model = TASKS[TaskName.SEGMENTATION].new_model(demo_checkpoint())
    known = MobileViTForImageClassification.from_pretrained(demo_checkpoint()).mobilevit.state_dict()
    for name, weight in model.mobilevit.state_dict().items():
        torch.testing.assert_close(weight, known[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("task", "labels", "kind"),
    [
        (TaskName.CLASSIFICATION, CLASSES, MobileViTForImageClassification),
        (TaskName.SEGMENTATION, MASK_LABELS, MobileViTForSemanticSegmentation),
    ],
)
def test_the_command_writes_a_checkpoint_that_loads_with_a_card_that_states_its_scores(
    task: TaskName,
    labels: tuple[str, ...],
    kind: type[MobileViTForImageClassification | MobileViTForSemanticSegmentation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "HELD_OUT", len(CLASSES))
    folder = tmp_path / "shapes"
    main(output=folder, task=task, pictures=BATCH, processes=1, bfloat16=False)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    model = kind.from_pretrained(folder)
    assert model.config.architectures == (kind.__name__,)
    assert model.config.id2label == dict(enumerate(labels))
    assert MobileViTImageProcessor.from_pretrained(folder).size == {"shortest_edge": 288}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"--task {task} " in card
    assert "--pictures 64" in card
    assert "no ImageNet model" in card
    for label in labels:
        assert f"| {label} | " in card


def test_an_interrupted_run_goes_on_from_its_saved_state(tmp_path: Path) -> None:
    plan = recipe(TaskName.CLASSIFICATION, batches=1)
    first, minutes = train(plan, tmp_path)
    saved = torch.load(tmp_path / STATE, weights_only=True)
    assert saved["batch"] == plan.batches
    assert minutes > 0

    # Every batch is done, so another call trains no further.
    again, still = train(plan, tmp_path)
    assert still == minutes
    for name, weight in first.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)
