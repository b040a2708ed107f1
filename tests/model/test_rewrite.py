from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
)
from mobilevit_deploy.model.graph import Model, deploy_graph
from mobilevit_deploy.model.layers import TransformerLayer
from mobilevit_deploy.model.rewrite import REWRITES, rewrite

MakeModel = Callable[..., Any]

ROUNDING = 1e-5
"""Largest error, as a share of the logits' spread; ten times what float32 shows here."""

SIZES = [(64, 64), (96, 64), (65, 97), (33, 70)]
"""Height and width; the last two give maps that patches do not tile."""

SEQUENCES = [name for name in REWRITES if name not in {"tokens_as_map", "tokens_as_rows"}]
MAPS = [*SEQUENCES, "tokens_as_map"]
ROWS = [*SEQUENCES, "tokens_as_rows"]
"""All rewrites that go together, in each layout of the transformers."""

every_layout = pytest.mark.parametrize("names", [SEQUENCES, MAPS, ROWS], ids=["sequences", "maps", "rows"])
every_rewrite = pytest.mark.parametrize("name", REWRITES)
every_layout_and_head = pytest.mark.parametrize(
    ("names", "head"),
    [
        (SEQUENCES, MobileViTForImageClassification),
        (SEQUENCES, MobileViTForSemanticSegmentation),
        (MAPS, MobileViTForImageClassification),
        (ROWS, MobileViTForSemanticSegmentation),
    ],
    ids=[
        "sequences, classification",
        "sequences, segmentation",
        "maps, classification",
        "rows, segmentation",
    ],
)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


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


class TestEachRewriteAlone:
    @every_rewrite
    @every_size
    def test_computes_what_the_reference_computes(
        self, model: Model, name: str, size: tuple[int, int]
    ) -> None:
        assert _error(deploy_graph(model, [name]), model, size) < ROUNDING

    @pytest.mark.parametrize(
        ("name", "operator"),
        [
            ("fold_batch_norm", "batch_norm"),
            ("remove_dropout", "dropout"),
            ("remove_dropout", "feature_dropout"),
            ("fold_query_scale", "div"),
            ("attention_bmm", "matmul"),
            ("layer_norm_as_linear", "layer_norm"),
            ("add_pooled_branch", "upsample_bilinear2d"),
        ],
    )
    def test_takes_its_operator_out_of_the_graph(
        self, segmenter: MobileViTForSemanticSegmentation, name: str, operator: str
    ) -> None:
        assert operator in _operators(deploy_graph(segmenter, []))
        assert operator not in _operators(deploy_graph(segmenter, [name]))

    def test_fold_layer_norm_affine_leaves_layer_norm_nothing_but_to_normalise(
        self, classifier: MobileViTForImageClassification
    ) -> None:
        graph = deploy_graph(classifier, ["fold_layer_norm_affine"])
        norms = [module for module in graph.modules() if isinstance(module, nn.LayerNorm)]
        assert norms
        assert not any(norm.state_dict() for norm in norms)

    def test_pool_keeping_dims_flattens_after_the_mean(
        self, classifier: MobileViTForImageClassification
    ) -> None:
        (mean,) = _nodes(deploy_graph(classifier, ["pool_keeping_dims"]), "mean")
        assert mean.meta["val"].shape == (1, classifier.config.neck_hidden_sizes[-1], 1, 1)

    @every_size
    def test_patches_in_four_dimensions_leaves_no_tensor_with_more(
        self, model: Model, size: tuple[int, int]
    ) -> None:
        assert _largest_rank(deploy_graph(model, []), size) > 4
        assert _largest_rank(deploy_graph(model, ["patches_in_four_dimensions"]), size) == 4

    def test_tokens_as_matrix_multiplies_matrices_alone_by_weights(
        self, classifier: MobileViTForImageClassification
    ) -> None:
        nodes = _nodes(deploy_graph(classifier, ["tokens_as_matrix"]), "linear")
        assert nodes
        assert {node.meta["val"].ndim for node in nodes} == {2}

    def test_tokens_as_map_leaves_convolutions_and_four_axes(self, model: Model) -> None:
        graph = deploy_graph(model, ["tokens_as_map"])
        assert {name for name, layer in graph.named_modules() if isinstance(layer, nn.Linear)} <= {
            "model.classifier"
        }
        assert _largest_rank(graph, (96, 64)) == 4

    def test_tokens_as_map_transposes_keys_alone(self, classifier: MobileViTForImageClassification) -> None:
        graph = deploy_graph(classifier, ["tokens_as_map"])
        layers = sum(isinstance(module, TransformerLayer) for module in graph.modules())
        assert len(_nodes(graph, "transpose")) == layers
        assert not _nodes(graph, "permute")

    @every_size
    def test_tokens_as_rows_keeps_the_first_axis_the_pictures(
        self, model: Model, size: tuple[int, int]
    ) -> None:
        assert _first_axes(deploy_graph(model, ["patches_in_four_dimensions"]), size) > {1}
        assert _first_axes(deploy_graph(model, ["tokens_as_rows", "add_pooled_branch"]), size) == {1}

    @every_rewrite
    def test_does_nothing_the_second_time(self, model: Model, name: str) -> None:
        once, twice = deploy_graph(model, [name]), deploy_graph(model, [name, name])
        pixels = _pixels((64, 64))
        assert torch.equal(once(pixels), twice(pixels))


class TestAllRewrites:
    @every_layout_and_head
    @pytest.mark.parametrize("preset", ["xs", "s"])
    def test_every_preset(self, live: MakeModel, preset: str, head: type[Model], names: list[str]) -> None:
        model = live(MobileViTConfig.preset(preset, num_labels=10), head)
        assert _error(deploy_graph(model, names), model, (64, 64)) < ROUNDING

    @every_layout
    @every_size
    def test_every_size(self, model: Model, size: tuple[int, int], names: list[str]) -> None:
        assert _error(deploy_graph(model, names), model, size) < ROUNDING

    @every_layout
    def test_any_order(self, model: Model, names: list[str]) -> None:
        assert _error(deploy_graph(model, names[::-1]), model, (65, 97)) < ROUNDING

    @pytest.mark.parametrize("layout", ["tokens_as_map", "tokens_as_rows"])
    def test_a_map_stays_one_whatever_comes_after(self, model: Model, layout: str) -> None:
        graph = deploy_graph(model, [layout, *SEQUENCES])
        assert "einsum" in _operators(graph)
        assert _error(graph, model, (65, 97)) < ROUNDING

    @pytest.mark.parametrize(
        "names", [["tokens_as_map", "tokens_as_rows"], ["tokens_as_rows", "tokens_as_map"]]
    )
    def test_of_both_layouts_channels_first_wins(self, model: Model, names: list[str]) -> None:
        graph = deploy_graph(model, names)
        assert len(_nodes(graph, "linear")) <= 1  # the classifier
        assert _error(graph, model, (65, 97)) < ROUNDING

    @every_layout_and_head
    @pytest.mark.parametrize(
        "fields",
        [
            {"output_stride": 16},
            {"output_stride": 8},
            {"qkv_bias": False},
            {"patch_size": 3},
            {"conv_kernel_size": 5},
            {"hidden_act": "gelu"},
            {"layer_norm_eps": 0.1},
            {"num_channels": 1},
            {"output_hidden_states": True},
        ],
        ids=str,
    )
    def test_other_architectures(
        self,
        live: MakeModel,
        tiny: MobileViTConfig,
        head: type[Model],
        fields: dict[str, Any],
        names: list[str],
    ) -> None:
        model = live(tiny.updated(num_labels=10, **fields), head)
        assert _error(deploy_graph(model, names), model, (65, 97)) < ROUNDING

    def test_a_wrong_rewrite_would_be_seen(self, model: Model) -> None:
        graph = deploy_graph(model, SEQUENCES)
        for name, buffer in graph.named_buffers():
            if name.endswith("transformer.layer.0.layernorm_after.eps"):
                buffer.add_(1e-2)
        assert _error(graph, model, (64, 64)) > ROUNDING


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no rewrite 'fold_batchnorm'\. Did you mean 'fold_batch_norm'\?"):
        rewrite(nn.Identity(), ["fold_batchnorm"])


def _pixels(size: tuple[int, int], channels: int = 3) -> Tensor:
    return torch.rand((1, channels, *size), generator=torch.Generator().manual_seed(0))


def _error(graph: nn.Module, model: Model, size: tuple[int, int]) -> float:
    """Largest absolute error as a share of the reference's spread."""
    pixels = _pixels(size, model.config.num_channels)
    with torch.no_grad():
        expected, actual = model(pixels).logits, graph(pixels)
    spread = expected.max() - expected.min()
    assert spread > 0.1, "weights are dead: a match would prove nothing"
    return float((actual - expected).abs().max() / spread)


def _nodes(graph: nn.Module, operator: str) -> list[torch.fx.Node]:
    program = torch.export.export(graph, (_pixels((64, 64)),))
    return [node for node in _calls(program) if _name(node) == operator and node.users]


def _operators(graph: nn.Module) -> set[str]:
    program = torch.export.export(graph, (_pixels((64, 64)),))
    return {_name(node) for node in _calls(program)}


def _calls(program: torch.export.ExportedProgram) -> list[torch.fx.Node]:
    return [node for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]


def _first_axes(graph: nn.Module, size: tuple[int, int]) -> set[int]:
    """First axes of all tensors that are computed, but vectors."""
    program = torch.export.export(graph, (_pixels(size),))
    values = [node.meta.get("val") for node in _calls(program)]
    return {value.shape[0] for value in values if isinstance(value, Tensor) and value.ndim > 1}


def _largest_rank(graph: nn.Module, size: tuple[int, int]) -> int:
    program = torch.export.export(graph, (_pixels(size),))
    values = [node.meta.get("val") for node in program.graph.nodes]
    return max(value.ndim for value in values if isinstance(value, Tensor))


def _name(node: torch.fx.Node) -> str:
    return str(node.target).split(".")[1]
