"""What the execution providers of phones take of an .onnx file, as ONNX Runtime's own usability checker says.

The checker (``onnxruntime.tools.mobile_helpers.usability_checker``) knows kinds, sizes and ranks. Further
conditions it only prints, as sentences "that have not been checked"; where a graph answers them, this does.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from mobilevit_deploy.dataflow import Dataflow, Node
from mobilevit_deploy.inspection import Delegation, Rule, judge

from .graph import dataflow, name_of

_REPOSITORY = "https://github.com/microsoft/onnxruntime/blob/main"
_LISTS = f"{_REPOSITORY}/tools/ci_build/github"
_BUILDERS = f"{_REPOSITORY}/onnxruntime/core/providers"
_USABILITY = "https://onnxruntime.ai/docs/tutorials/mobile/helpers/model-usability-checker.html"

_TOLD_BY = f"the usability checker of onnxruntime {onnxruntime.__version__}"
_FATAL = 4
"""ONNX Runtime logs each error that it raises, too, unless told to log only what ends the process."""

_ATTRIBUTES = {"mode", "transA", "batch_dims", "kernel_shape", "output_shape", "output_padding"}
"""Attributes that conditions name; where a node has none of them, its defaults hold, which are supported."""


@dataclass(frozen=True)
class _Provider:
    """An execution provider.

    Attributes:
        operators: where its operators are listed, with their conditions.
        types: where its source says which types it takes.
        list_name: what the checker calls the list; none for NNAPI, which has only one.
    """

    operators: str
    types: str
    list_name: str = ""


PROVIDERS = {
    "nnapi": _Provider(
        operators=f"{_LISTS}/android/nnapi_supported_ops.md",
        types=f"{_BUILDERS}/nnapi/nnapi_builtin/builders/impl/base_op_builder.cc",
    ),
    "coreml-mlprogram": _Provider(
        operators=f"{_LISTS}/apple/coreml_supported_mlprogram_ops.md",
        types=f"{_BUILDERS}/coreml/builders/impl/cast_op_builder.cc",
        list_name="coreml_supported_mlprogram_ops.md",
    ),
    "coreml-neuralnetwork": _Provider(
        operators=f"{_LISTS}/apple/coreml_supported_neuralnetwork_ops.md",
        types=f"{_BUILDERS}/coreml/builders/impl/cast_op_builder.cc",
        list_name="coreml_supported_neuralnetwork_ops.md",
    ),
}
"""By the name that ``--accelerator`` takes."""


def offered(path: Path) -> onnx.ModelProto:
    """The graph as providers are offered it: with what ONNX Runtime folds for any of them, and with shapes.

    Raises:
        Exception: ONNX Runtime refuses the file; its errors share no class but this.
    """
    from onnxruntime.tools.onnx_model_utils import ModelProtoWithShapeInfo, optimize_model

    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        optimize_model(path, optimised, log_level=_FATAL, use_external_initializers=True)
        model = ModelProtoWithShapeInfo(optimised).model_with_shape_info
    # The checker takes inputs that a node leaves out, such as those of Resize, for ones of unknown size.
    left_out = onnx.helper.make_tensor_value_info("", onnx.TensorProto.FLOAT, [1])
    model.graph.value_info.append(left_out)
    return model


def delegations(model: onnx.ModelProto) -> Iterator[Delegation]:
    """What each provider takes of ``model``, which ``offered`` gave."""
    flow = dataflow(model)
    for name, provider in PROVIDERS.items():
        yield judge(name, flow, _rules(provider, _checked(provider, model), model), told_by=_TOLD_BY)


def _checked(provider: _Provider, model: onnx.ModelProto) -> Any:
    """The checker's ``PartitioningInfo``."""
    from onnxruntime.tools.mobile_helpers import usability_checker as checker

    if provider.list_name:
        return checker.check_coreml_partitions(model, True, provider.list_name)
    return checker.check_nnapi_partitions(model, True)


def _rules(provider: _Provider, found: Any, model: onnx.ModelProto) -> list[Rule]:
    """What the checker found, and its conditions."""
    protos = {name_of(proto): proto for proto in model.graph.node}
    listed = {name for name, proto in protos.items() if found.supported_ops_checker.is_op_supported(proto)}
    taken = {name_of(proto) for group in found.supported_groups for proto in group}
    return [
        Rule(
            "The operator is one of the kinds that the provider has.",
            provider.operators,
            "Write it with operators that are listed.",
            lambda node, _: node.name not in listed,
        ),
        Rule(
            "Sizes are fixed, and no tensor has more than five axes.",
            _USABILITY,
            "Export with fixed sizes (python -m onnxruntime.tools.make_dynamic_shape_fixed), in four axes.",
            lambda node, _: node.name in listed - taken,
        ),
        Rule(
            "Integers of 8 bits are quantised, and read by operators made for them; Cast takes other types.",
            provider.types,
            "Feed float32 (export with --input tensor), or leave the conversion of the picture to the CPU.",
            lambda node, flow: node.name in listed and "Linear" not in node.kind and _reads_bytes(node, flow),
        ),
        *(_condition(provider, caveat, protos) for caveat in _caveats(found)),
    ]


def _caveats(found: Any) -> Iterator[tuple[str, str]]:
    """Kind and sentence of each condition that the checker leaves to its reader."""
    for caveat in found.supported_ops_checker.get_caveats():
        domain, kind, text = caveat.split(":", 2)
        text = re.sub(r"\[(.+?)\]\(.+?\)", r"\1", text.strip())  # a link's text, without its address
        sentences = [text] if text.startswith("See ") else re.split(r"(?<=\.)\s+", text)
        for sentence in sentences:
            yield f"{domain}.{kind}".removeprefix("ai.onnx."), sentence


def _condition(provider: _Provider, caveat: tuple[str, str], protos: dict[str, onnx.NodeProto]) -> Rule:
    kind, sentence = caveat
    named = _ATTRIBUTES.intersection(re.findall(r"\w+", sentence))
    ranks = {"1D/2D": {3, 4}, "2D": {4}, "4D": {4}}
    allowed = next((axes for word, axes in ranks.items() if word in sentence), None)

    def broken(node: Node, flow: Dataflow) -> bool:
        if node.kind != kind:
            return False
        if named:
            return not named.isdisjoint(entry.name for entry in protos[node.name].attribute)
        if "constant" in sentence:
            return not flow.constants.issuperset(_arguments(node))
        if allowed is not None:
            return len(flow.values[node.inputs[0]].shape) not in allowed
        return True

    known = "constant" in sentence or allowed is not None
    return Rule(
        f"{kind}: {sentence}",
        provider.operators,
        "Write it so that this holds." if known else "Compare its attributes with the condition.",
        broken,
        refused=known and not named,
    )


def _arguments(node: Node) -> tuple[str, ...]:
    """What a node reads beside its data."""
    data = {0, 3} if node.kind.removeprefix("com.microsoft.").startswith("QLinear") else {0}
    return tuple(name for place, name in enumerate(node.inputs) if place not in data)


def _reads_bytes(node: Node, flow: Dataflow) -> bool:
    return any(flow.values[name].dtype in {"int8", "uint8"} for name in set(node.inputs) - flow.constants)
