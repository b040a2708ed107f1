"""Lower precisions: which operators ai-edge-quantizer turns into what, and the ranges that it is given."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

from mobilevit_deploy.conversion import conversion
from mobilevit_deploy.quantize import Precision, inside

from .names import module_of
from .ranges import Ranges, narrow_before_silu, observed, symmetric

Rule = dict[str, Any]

_WEIGHTS = {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"}
_ACTIVATIONS = {"num_bits": 8, "symmetric": False, "granularity": "TENSORWISE", "dtype": "INT"}
_DYNAMIC = {"weight_tensor_config": _WEIGHTS, "compute_precision": "INTEGER"}
_STATIC = {**_DYNAMIC, "activation_tensor_config": _ACTIVATIONS}
_HALF = {"weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"}, "compute_precision": "FLOAT"}

_MIN_MAX = "min_max_uniform_quantize"
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_MOVING = ("RESHAPE", "TRANSPOSE")
_IN_8_BITS = (
    *_WEIGHTED,
    *_MOVING,
    "ADD",
    "BATCH_MATMUL",
    "CONCATENATION",
    "LOGISTIC",
    "MEAN",
    "MUL",
    "PAD",
    "RESIZE_BILINEAR",
    "SUB",
)
"""Operators for which XNNPACK has kernels in 8 bits. It has none for the rest of a transformer, such as
SOFTMAX: LiteRT's own take several times as long as in float, and split the graph."""

_LISTS = re.compile(r"\.(?:layer|convs)(?=\.)")
"""Of the reference's modules, the lists, which a tensor's name leaves out."""

_POOLED_BRANCH = re.compile(r"(?<=\.aspp)\.\d+\.conv_1x1(?=\.)")
"""Of DeepLabV3 without its list, which the rewrite ``add_pooled_branch`` calls ``pooling``."""

_RESIDUAL = re.compile(r"transformer\.\d+$")


@dataclass(frozen=True)
class Operator:
    """A node of the float graph.

    Attributes:
        kind: such as ``CONV_2D``.
        module: dotted path of the module that it comes from.
        inputs: names of the tensors that it reads.
        outputs: names of the tensors that it writes.
    """

    kind: str
    module: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def rule_pattern(self) -> str:
        """What matches this operator alone, in a recipe."""
        return "".join(f"{name};" for name in self.outputs)


def quantized(
    content: bytes,
    precision: Precision,
    pictures: Sequence[NDArray[Any]] = (),
    float_modules: Sequence[str] = (),
) -> bytes:
    """A graph in another precision.

    Args:
        content: of litert-torch, in float.
        precision: one of the target's.
        pictures: for ``int8``, inputs of the graph on which its ranges are found.
        float_modules: for ``int8``, modules of the reference that stay in float.

    Raises:
        ExportError: ai-edge-quantizer refused the graph.
    """
    with conversion("ai-edge-quantizer could not quantise the graph"):
        if precision == Precision.FP16:
            return _apply(content, [_rule(kind, _HALF, algorithm="float_casting") for kind in _WEIGHTED])
        if precision == Precision.INT8_DYNAMIC:
            return _apply(content, _dynamic_rules())
        if precision == Precision.INT8:
            return _static(content, pictures, float_modules)
    return content


def _dynamic_rules() -> list[Rule]:
    """Weights in 8 bits, a scale a channel, multiplied with activations quantised on the fly.

    The recipe "legacy" leaves layers of less than 1,024 weights alone, as TensorFlow's converter does: that
    costs 35 kB. Depthwise convolutions stay in float too: they hold 1 % of the weights, and XNNPACK has no
    kernel for such a one in 8 bits, so that each would split the graph. Together that gains 6 dB.
    """
    from ai_edge_quantizer import recipe

    return [
        *recipe.dynamic_legacy_wi8_afp32(),
        _rule("DEPTHWISE_CONV_2D", {}, algorithm="no_quantize"),
    ]


def _static(content: bytes, pictures: Sequence[NDArray[Any]], float_modules: Sequence[str]) -> bytes:
    """Weights and activations in 8 bits wherever XNNPACK is faster for it, the rest in float.

    LayerNorm, softmax and the transformers' residual sums stay in float: their range is wide, and they take
    little time. So does the stem: within a picture of one colour it rounds every cell alike, and nothing
    evens that out later; in float it is as fast. The classifier quantises its input on the fly and gives
    float logits: in 256 steps there would be ties, and a picture unlike all those of the calibration would
    exceed them.
    """
    graph = operators(content)
    ranges = observed(content, pictures)
    _narrow(graph, ranges)
    return _apply(content, static_rules(graph, float_modules), ranges)


def static_rules(graph: Iterable[Operator], float_modules: Sequence[str] = ()) -> list[Rule]:
    """The recipe of ``int8``: later rules win."""
    kept = [_path_in_graph(module) for module in float_modules]
    float_patterns, dynamic_patterns = [], []
    for node in graph:
        if _stays_float(node) or inside(node.module, kept):
            float_patterns.append(re.escape(node.rule_pattern))
        elif node.kind in _WEIGHTED and inside(node.module, ["classifier"]):
            dynamic_patterns.append(re.escape(node.rule_pattern))
    rules = [_rule(kind, _STATIC) for kind in _IN_8_BITS]
    rules += [_rule(kind, {}, _any(float_patterns), algorithm="no_quantize") for kind in _IN_8_BITS]
    rules += [_rule(kind, _DYNAMIC, _any(dynamic_patterns)) for kind in _WEIGHTED]
    return rules


def _path_in_graph(module: str) -> str:
    """Where tensors' names have a module of the reference."""
    return _POOLED_BRANCH.sub(".pooling", _LISTS.sub("", f".{module}.")).strip(".")


def _stays_float(node: Operator) -> bool:
    if inside(node.module, ["layernorm", "layernorm_before", "layernorm_after"]):
        return True
    if inside(node.module, ["conv_stem"]):
        return True
    if node.kind == "RESIZE_BILINEAR":  # a mask's: what it enlarges are logits
        return not inside(node.module, ["encoder"])
    return node.kind == "ADD" and _RESIDUAL.search(node.module) is not None


def _narrow(graph: Sequence[Operator], ranges: Ranges) -> None:
    made_by = {name: node for node in graph for name in node.outputs}
    for node in graph:
        if node.kind == "LOGISTIC":
            (name,) = node.inputs
            ranges[name] = narrow_before_silu(ranges[name])
        if node.kind == "BATCH_MATMUL":
            # XNNPACK multiplies in 8 bits where the zero point of the second factor is 0: keys, and values.
            for name in _origins(node.inputs[1], made_by):
                ranges[name] = symmetric(ranges[name])


def _origins(name: str, made_by: Mapping[str, Operator]) -> list[str]:
    """A tensor, and those that it is but another arrangement of."""
    names = [name]
    while (node := made_by[names[-1]]).kind in _MOVING:
        names.append(node.inputs[0])
    return names


def operators(content: bytes) -> list[Operator]:
    """The nodes of a graph in the order of execution."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (graph,) = model.subgraphs
    return [
        Operator(
            kind=flatbuffer_utils.opcode_to_name(model, node.opcodeIndex),
            module=_module(graph, node),
            inputs=tuple(graph.tensors[place].name.decode() for place in node.inputs if place >= 0),
            outputs=tuple(graph.tensors[place].name.decode() for place in node.outputs),
        )
        for node in graph.operators
    ]


def _module(graph: Any, node: Any) -> str:
    # The graph's output has a name of its own: what writes it is known by its weights.
    place = node.inputs[1] if node.outputs[0] in graph.outputs and len(node.inputs) > 1 else node.outputs[0]
    return module_of(graph.tensors[place].name)


def _rule(kind: str, config: Mapping[str, Any], pattern: str = ".*", *, algorithm: str = _MIN_MAX) -> Rule:
    return {"regex": pattern, "operation": kind, "algorithm_key": algorithm, "op_config": dict(config)}


def _any(patterns: Iterable[str]) -> str:
    """Matches the whole of one of ``patterns``."""
    return f"^(?:{'|'.join(patterns)})$"


def _apply(
    content: bytes, rules: list[Rule], ranges: Mapping[str, Mapping[str, NDArray[Any]]] | None = None
) -> bytes:
    from ai_edge_quantizer import quantizer

    with redirect_stderr(io.StringIO()):  # a progress bar that its own switch does not turn off
        made = quantizer.Quantizer(bytearray(content), rules).quantize(ranges, enable_progress_report=False)
    return bytes(made.quantized_model)
