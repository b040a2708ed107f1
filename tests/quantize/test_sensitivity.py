"""Quantising one block at a time finds the block that suffers."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from mobilevit_deploy.demo.shapes import generate
from mobilevit_deploy.quantize.sensitivity import BlockSensitivity, Sensitivity, analyse
from mobilevit_deploy.reference import Reference


@pytest.fixture(scope="module")
def inputs(reference: Reference) -> list[np.ndarray]:  # type: ignore[type-arg]
    from PIL import Image

    pictures = [Image.fromarray(generate(i, split="train").image) for i in range(3)]
    return [reference.preprocess.apply(picture) for picture in pictures]


@pytest.fixture(scope="module")
def found(reference: Reference, inputs: list[np.ndarray]) -> Sensitivity:  # type: ignore[type-arg]
    return analyse(reference, inputs)


def test_every_convolution_and_linear_layer_is_in_exactly_one_block(
    reference: Reference, found: Sensitivity
) -> None:
    layers = [
        name.removeprefix("mobilevit.")
        for name, module in reference.model.named_modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    paths = [block.path for block in found.blocks]
    for layer in layers:
        assert sum(f"{layer}.".startswith(f"{path}.") for path in paths) == 1, layer
    assert all(np.isfinite(block.sqnr_db) and block.sqnr_db > 15 for block in found.blocks)


def test_work_is_counted_as_torchs_own_counter_does(
    reference: Reference,
    found: Sensitivity,
    inputs: list[np.ndarray],  # type: ignore[type-arg]
) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        reference.model(torch.from_numpy(inputs[0]))
    by_operator = counter.get_flop_counts()["Global"]
    products = sum(
        flops for name, flops in by_operator.items() if "conv" in str(name) or "addmm" in str(name)
    )
    assert sum(block.multiply_adds for block in found.blocks) == products // 2


def test_the_model_is_left_as_it_was(reference: Reference, inputs: list[np.ndarray]) -> None:  # type: ignore[type-arg]
    before = reference.weights_sha256()
    logits = reference.run(inputs[0])
    analyse(reference, inputs[:1])
    assert reference.weights_sha256() == before
    assert np.array_equal(reference.run(inputs[0]), logits)


def test_a_block_with_one_wild_channel_is_found(reference: Reference, inputs: list[np.ndarray]) -> None:  # type: ignore[type-arg]
    """A query 500 times larger and its key as much smaller give the same scores, in floating point."""
    model = copy.deepcopy(reference.model)
    attention = model.mobilevit.encoder.layer[3].transformer.layer[0].attention.attention
    with torch.no_grad():
        for layer, scale in ((attention.query, 500), (attention.key, 1 / 500)):
            layer.weight[0] *= scale
            layer.bias[0] *= scale
    wild = analyse(replace(reference, model=model), inputs)
    path = "encoder.layer.3.transformer.layer.0.attention"
    calm = {block.path: block.sqnr_db for block in analyse(reference, inputs).blocks}
    worse = {block.path: calm[block.path] - block.sqnr_db for block in wild.blocks}
    assert worse[path] > 6
    assert max(worse, key=lambda each: worse[each]) == path


def test_order_takes_most_noise_for_least_work_and_leaves_out_what_hardly_matters() -> None:
    blocks = (
        BlockSensitivity("dear", 20.0, 1000, 1),
        BlockSensitivity("cheap", 21.0, 10, 1),
        BlockSensitivity("quiet", 60.0, 1, 1),
    )
    assert Sensitivity(blocks, 1).order() == ["cheap", "dear"]
