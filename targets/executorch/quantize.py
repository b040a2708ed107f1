"""Lower precisions: which operators compute in what, and the ranges that they are given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import OP_TO_ANNOTATOR
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationConfig,
    QuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from mobilevit_deploy.model.graph import PictureGraph
from mobilevit_deploy.model.layers import TransformerLayer
from mobilevit_deploy.model.rewritten import LinearLayerNorm
from mobilevit_deploy.quantize import Precision, inside
from mobilevit_deploy.quantize.calibration import Calibration
from mobilevit_deploy.target import ExportOptions, GraphSpec

aten = torch.ops.aten

_SMALLEST_SCALE = 2**-12
"""Of activations, as ExecuTorch's own recipe has it: what hardly varies gets no finer steps."""

_FLOAT_MODULES = ("conv_stem",)
"""What stays in floating point whatever the accuracy: within a picture of one colour the stem would round
every cell alike, and nothing evens that out later."""


_DYNAMIC_MODULES = ("classifier",)
"""What quantises its input on the fly and gives floating point: logits in 256 steps would have ties."""

_SILU_ARGMIN = -1.2785


def exported(graph: nn.Module, spec: GraphSpec, options: ExportOptions) -> ExportedProgram:
    """``graph`` in the precision that ``options`` names, as PyTorch exports it."""
    with torch.no_grad():
        if options.precision == Precision.FP16:
            return torch.export.export(HalfGraph(graph).eval(), (spec.example(),))
        whole = torch.export.export(graph, (spec.example(),))
        if options.precision == Precision.INT8_DYNAMIC:
            return torch.export.export(_dynamic(whole.module(), spec), (spec.example(),))
        if options.precision == Precision.INT8:
            assert options.calibration is not None, "the pipeline brings it for this precision"
            mixed = _static(whole.module(), options.calibration, options.float_modules)
            return torch.export.export(mixed, (spec.example(),))
        return whole


class HalfGraph(nn.Module):
    """Computes in float16 between an input and an output that keep their types.

    Args:
        graph: a deploy graph; its weights are rounded in place.
    """

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.takes_picture = isinstance(graph, PictureGraph)
        self.tensor_graph = (graph.tensor_graph if isinstance(graph, PictureGraph) else graph).half()

    def forward(self, given: Tensor) -> Tensor:
        """As ``graph``."""
        values = given.half()
        result: Tensor = self.tensor_graph(values.permute(0, 3, 1, 2) if self.takes_picture else values)
        return result.float() if result.is_floating_point() else result


def _dynamic(graph: torch.fx.GraphModule, spec: GraphSpec) -> torch.fx.GraphModule:
    """Linear layers' weights in 8 bits, multiplied with activations that are quantised on the fly.

    Convolutions stay in float: ExecuTorch 1.4 takes their input for the graph's own as it makes maps NHWC.
    """
    quantizer = XNNPACKQuantizer().set_operator_type(aten.linear.default, _DYNAMIC)
    quantizer.set_filter_function(lambda node: not _normalises(node))
    prepared = prepare_pt2e(graph, quantizer)
    prepared(spec.example())  # weights are looked at when they are used
    return convert_pt2e(prepared)  # type: ignore[no-any-return]


def _static(
    graph: torch.fx.GraphModule, calibration: Calibration, float_modules: Iterable[str]
) -> torch.fx.GraphModule:
    """Weights and activations in 8 bits wherever XNNPACK is faster for it, the rest in float."""
    prepared = prepare_pt2e(graph, MixedQuantizer(float_modules))
    for given in calibration.inputs:
        prepared(torch.from_numpy(given))
    return convert_pt2e(prepared)  # type: ignore[no-any-return]


class MixedQuantizer(XNNPACKQuantizer):  # type: ignore[misc]  # ExecuTorch has no types
    """XNNPACKQuantizer's operators and the sigmoid in 8 bits, of every module but some.

    Attention's products, which it leaves out, stay in float: in 8 bits XNNPACK of ExecuTorch 1.4.1 computes
    something else on ARM than on x86 (-4 dB beside each other).

    Args:
        float_modules: paths of the reference's modules that stay in floating point.
    """

    def __init__(self, float_modules: Iterable[str] = ()) -> None:
        super().__init__()
        self.float_modules = (*_FLOAT_MODULES, *float_modules)
        self.set_global(QuantizationConfig(_ACTIVATIONS, _ACTIVATIONS, _WEIGHTS, None))
        self.set_filter_function(self._in_8_bits)

    def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        """Say of each operator what its inputs and its output become."""
        OP_TO_ANNOTATOR["linear"](model, _DYNAMIC, self._classifies)
        sigmoids = [
            node for node in model.graph.nodes if node.target == aten.sigmoid.default and self.filter_fn(node)
        ]
        for node in sigmoids:
            node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                input_qspec_map={node.args[0]: _BEFORE_SILU}, output_qspec=_SIGMOIDS, _annotated=True
            )
        super().annotate(model)
        for node in sigmoids:
            _share_range(node.args[0])
        return model

    def _in_8_bits(self, node: Node) -> bool:
        return not (
            _normalises(node)
            or _adds_to_tokens(node)
            or inside(_module(node), (*self.float_modules, *_DYNAMIC_MODULES))
        )

    def _classifies(self, node: Node) -> bool:
        path = _module(node)
        return inside(path, _DYNAMIC_MODULES) and not inside(path, self.float_modules)


def _share_range(before_silu: Node) -> None:
    before_silu.meta[Q_ANNOTATION_KEY].output_qspec = _BEFORE_SILU
    for reader in before_silu.users:
        reader.meta[Q_ANNOTATION_KEY].input_qspec_map[before_silu] = _BEFORE_SILU


class BeforeSilu(MinMaxObserver):  # type: ignore[misc]  # torchao has no types
    """The range that is seen, without the negative end that SiLU maps to less than half a step of its output.

    The numbers before a SiLU reach far below zero, where it is zero: half of their range may tell nothing.
    """

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point."""
        grid = torch.arange(_SILU_ARGMIN, -20.0, -0.125)
        step = (F.silu(self.max_val.clamp(min=0.0)) - F.silu(grid[0])) / 255
        end = grid[(-F.silu(grid) > step / 2).sum().clamp(max=len(grid) - 1)]
        self.min_val.clamp_(min=end)
        return super().calculate_qparams()  # type: ignore[no-any-return]


_ACTIVATIONS = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=_SMALLEST_SCALE),
)

_BEFORE_SILU = dataclasses.replace(
    _ACTIVATIONS, observer_or_fake_quant_ctr=BeforeSilu.with_args(eps=_SMALLEST_SCALE)
)

_SIGMOIDS = FixedQParamsQuantizationSpec(
    dtype=torch.int8,
    scale=1 / 256,
    zero_point=-128,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
)
"""A sigmoid lies between 0 and 1, whatever the calibration pictures show."""

_WEIGHTS = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=_SMALLEST_SCALE),
)


_DYNAMIC = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)


def _adds_to_tokens(node: Node) -> bool:
    """Whether a node adds to the transformer's residual stream, whose range is wide."""
    return node.target == aten.add.Tensor and _is_inside(node, TransformerLayer)


def _normalises(node: Node) -> bool:
    """Whether a node is a step of LayerNorm, whose squares have too wide a range for 8 bits."""
    return _is_inside(node, LinearLayerNorm)


def _is_inside(node: Node, kind: type[nn.Module]) -> bool:
    return any(found == f"{kind.__module__}.{kind.__qualname__}" for _, found in _modules(node))


def _module(node: Node) -> str:
    """Dotted path of the module that a node comes from."""
    modules = _modules(node)
    return modules[-1][0] if modules else ""


def _modules(node: Node) -> list[tuple[str, Any]]:
    """Path and class of the modules that a node lies in, from outside in."""
    return list(node.meta.get("nn_module_stack", {}).values())
