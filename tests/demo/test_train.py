from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mobilevit_deploy.demo import train as training
from mobilevit_deploy.demo.shapes import CLASSES
from mobilevit_deploy.demo.train import BATCH, STATE, Recipe, main, train
from mobilevit_deploy.image import MobileViTImageProcessor
from mobilevit_deploy.model import MobileViTForImageClassification

RECIPE = Recipe(pictures=100 * BATCH, seed=0, processes=1, bfloat16=False)


def test_sizes_grow_and_end_at_the_size_of_deployment() -> None:
    sizes = [RECIPE.image_size(batch) for batch in range(RECIPE.batches)]
    assert sizes == sorted(sizes)
    assert set(sizes) == {64, 96, 128, 256}
    assert sizes[-1] == 256


def test_pictures_grow_from_bold_to_as_hard_as_the_held_out_ones() -> None:
    assert RECIPE.difficulty(0) == 0.0
    assert RECIPE.difficulty(20) == pytest.approx(0.5)
    assert RECIPE.difficulty(RECIPE.batches - 1) == 1.0


def test_the_learning_rate_rises_once_and_falls_to_almost_nothing() -> None:
    rates = [RECIPE.learning_rate(batch) for batch in range(RECIPE.batches)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 0.01 * max(rates)


def test_the_command_writes_a_checkpoint_that_loads_with_a_card_that_states_its_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "HELD_OUT", len(CLASSES))
    folder = tmp_path / "shapes"
    main(output=folder, pictures=BATCH, seed=0, processes=1, bfloat16=False)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    model = MobileViTForImageClassification.from_pretrained(folder)
    assert model.config.id2label == dict(enumerate(CLASSES))
    assert MobileViTImageProcessor.from_pretrained(folder).size == {"shortest_edge": 288}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "--pictures 64" in card
    assert "no ImageNet model" in card


def test_an_interrupted_run_goes_on_from_its_saved_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(pictures=BATCH, seed=0, processes=1, bfloat16=False)
    first = train(recipe, tmp_path)
    saved = torch.load(tmp_path / STATE, weights_only=True)
    assert saved["batch"] == recipe.batches

    # Every batch is done, so another call trains no further.
    again = train(recipe, tmp_path)
    for name, weight in first.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)
