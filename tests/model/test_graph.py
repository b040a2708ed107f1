"""Deploy graphs compute what preprocessing, reference and post-processing compute together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.image import PreprocessSpec
from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
)
from mobilevit_deploy.model.graph import (
    ClassifierGraph,
    MaskGraph,
    Model,
    PictureGraph,
    SegmenterGraph,
    deploy_graph,
    fold_preprocessing,
)
from mobilevit_deploy.model.outputs import SemanticSegmenterOutput
from mobilevit_deploy.model.rewrite import REWRITES

MakeModel = Callable[..., Any]

ROUNDING = 1e-5
"""Largest error, as a share of the logits' spread."""

SIZE = (65, 97)
"""Height and width; neither is a multiple of the stride, and patches do not tile any map."""

PUBLISHED = PreprocessSpec(resample="bilinear", crop=SIZE, rescale_factor=1 / 255, channel_order="BGR")


@pytest.fixture(scope="module")
def classifier(live: MakeModel) -> MobileViTForImageClassification:
    model: MobileViTForImageClassification = live(MobileViTConfig.preset("xxs", num_labels=10))
    return model


@pytest.fixture(scope="module")
def segmenter(live: MakeModel) -> MobileViTForSemanticSegmentation:
    config = MobileViTConfig.preset("xxs", num_labels=6, output_stride=16, aspp_out_channels=32)
    model: MobileViTForSemanticSegmentation = live(config, MobileViTForSemanticSegmentation)
    return model


@pytest.fixture(params=["classifier", "segmenter"])
def model(request: pytest.FixtureRequest) -> Model:
    either: Model = request.getfixturevalue(request.param)
    return either


class TestAnyGraph:
    @pytest.mark.parametrize("training", [False, True])
    def test_leaves_the_reference_as_it_is(self, model: Model, training: bool) -> None:
        model.train(training)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        graph = deploy_graph(model, list(REWRITES), preprocess=PUBLISHED)
        for tensor in [*graph.parameters(), *graph.buffers()]:
            tensor.zero_()
        after = model.state_dict()
        assert model.training is training
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert list(after) == list(before)
        assert all(torch.equal(after[name], before[name]) for name in before)
        model.eval()

    def test_is_in_evaluation_mode_even_if_the_reference_is_not(self, model: Model) -> None:
        model.train()
        graphs = [deploy_graph(model, [], preprocess=steps) for steps in (None, PUBLISHED)]
        model.eval()
        assert not any(module.training for graph in graphs for module in graph.modules())

    def test_gives_a_plain_tensor_without_gradient(self, model: Model) -> None:
        logits = deploy_graph(model, [])(_pixels())
        assert type(logits) is Tensor
        assert not logits.requires_grad

    def test_without_rewrites_is_the_reference_bit_for_bit(self, model: Model) -> None:
        assert torch.equal(deploy_graph(model, [])(_pixels()), _logits(model, _pixels()))

    def test_names_its_kind_and_reaches_the_model(
        self, classifier: MobileViTForImageClassification, segmenter: MobileViTForSemanticSegmentation
    ) -> None:
        for graph, kind in (
            (deploy_graph(classifier, []), ClassifierGraph),
            (deploy_graph(segmenter, []), SegmenterGraph),
            (deploy_graph(segmenter, [], argmax=True), MaskGraph),
        ):
            assert type(graph) is kind
            assert isinstance(graph.model, Model)


class TestMask:
    @pytest.mark.parametrize("rewrites", [(), tuple(REWRITES)], ids=["plain", "rewritten"])
    @torch.inference_mode()
    def test_is_the_published_post_processing(
        self, segmenter: MobileViTForSemanticSegmentation, rewrites: tuple[str, ...]
    ) -> None:
        mask = deploy_graph(segmenter, rewrites, argmax=True)(_pixels())
        outputs = SemanticSegmenterOutput(logits=_logits(segmenter, _pixels()))
        processor = transformers.MobileViTImageProcessor()
        (expected,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[SIZE])
        assert mask.shape == (1, *SIZE)
        assert mask.dtype == torch.int32
        assert len(expected.unique()) > 2, "a mask of one class proves nothing"
        # Where two classes are equal up to rounding, a rewritten graph may decide otherwise.
        assert (mask[0] == expected).float().mean() > 0.999
        assert rewrites or torch.equal(mask[0].long(), expected)

    def test_is_refused_of_a_classifier(self, classifier: MobileViTForImageClassification) -> None:
        with pytest.raises(UsageError, match="no mask"):
            deploy_graph(classifier, [], argmax=True)


class TestPictureInput:
    @pytest.mark.parametrize("rewrites", [(), ("fold_batch_norm",), tuple(REWRITES)], ids=len)
    @pytest.mark.parametrize("channel_order", ["RGB", "BGR"])
    @pytest.mark.parametrize("rescale_factor", [1 / 255, 1.0, 0.02])
    @torch.inference_mode()
    def test_scales_and_orders_channels_as_the_preprocessing_does(
        self, model: Model, rewrites: tuple[str, ...], channel_order: str, rescale_factor: float
    ) -> None:
        steps = PUBLISHED.model_copy(
            update={"channel_order": channel_order, "rescale_factor": rescale_factor}
        )
        picture = _picture()
        expected = _logits(model, torch.from_numpy(steps.apply(picture)))
        graph = deploy_graph(model, rewrites, preprocess=steps)
        assert isinstance(graph, PictureGraph)
        assert _error(graph(_tensor(picture)), expected) < ROUNDING
        grey_levels = _tensor(picture).permute(0, 3, 1, 2).float()
        assert _error(graph.tensor_graph(grey_levels), expected) < ROUNDING

    @torch.inference_mode()
    def test_may_be_folded_in_after_the_rewrites(self, model: Model) -> None:
        picture = _picture()
        graph = deploy_graph(model, list(REWRITES))
        assert isinstance(graph.model, Model)
        fold_preprocessing(graph.model, PUBLISHED)
        expected = _logits(model, torch.from_numpy(PUBLISHED.apply(picture)))
        assert _error(PictureGraph(graph)(_tensor(picture)), expected) < ROUNDING

    @torch.inference_mode()
    def test_with_swapped_channels_would_be_seen(self, model: Model) -> None:
        picture = _picture()
        graph = deploy_graph(model, [], preprocess=PUBLISHED.model_copy(update={"channel_order": "RGB"}))
        expected = _logits(model, torch.from_numpy(PUBLISHED.apply(picture)))
        assert _error(graph(_tensor(picture)), expected) > 100 * ROUNDING

    @torch.inference_mode()
    def test_gives_the_mask_of_a_picture(self, segmenter: MobileViTForSemanticSegmentation) -> None:
        picture = _picture()
        mask = deploy_graph(segmenter, list(REWRITES), preprocess=PUBLISHED, argmax=True)(_tensor(picture))
        expected = deploy_graph(segmenter, [], argmax=True)(torch.from_numpy(PUBLISHED.apply(picture)))
        assert (mask == expected).float().mean() > 0.999

    def test_adds_nothing_but_a_cast_and_a_permutation(
        self, classifier: MobileViTForImageClassification
    ) -> None:
        plain = _operators(deploy_graph(classifier, []), _pixels())
        picture = _operators(deploy_graph(classifier, [], preprocess=PUBLISHED), _tensor(_picture()))
        assert picture == ["to", "permute", *plain]

    def test_is_refused_of_a_model_without_colours(self, tiny: MobileViTConfig) -> None:
        grey = MobileViTForImageClassification(tiny.updated(num_channels=1))
        with pytest.raises(UsageError, match="takes 1 channels"):
            deploy_graph(grey, [], preprocess=PUBLISHED)


def _pixels() -> Tensor:
    return torch.from_numpy(PUBLISHED.apply(_picture()))


def _picture() -> Image.Image:
    """Red, green and blue each of their own, so that no order of channels passes for another."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    return Image.fromarray(noise // np.array([1, 2, 4], np.uint8))


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture))[None]


def _logits(model: Model, pixel_values: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(pixel_values).logits
    return logits


def _error(actual: Tensor, expected: Tensor) -> float:
    """Largest absolute error as a share of the reference's spread."""
    spread = expected.max() - expected.min()
    assert spread > 0.1, "weights are dead: a match would prove nothing"
    return float((actual - expected).abs().max() / spread)


def _operators(graph: nn.Module, example: Tensor) -> list[str]:
    nodes = torch.export.export(graph, (example,)).graph.nodes
    names = [str(node.target).split(".")[1] for node in nodes if node.op == "call_function"]
    return [name for name in names if not name.startswith("_assert")]
