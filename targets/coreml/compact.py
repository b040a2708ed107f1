"""A smaller program that says the same: a small model's program is a fifth of its package.

coremltools writes the strides, padding and flags of every operation anew, and names values by the modules
that were wrapped around the model for conversion, and by the passes that they went through.
"""

from __future__ import annotations

from typing import Any

_WRAPPERS = ("p_", "b_", "inner_", "inner_", "model_", "mobilevit_")
"""How names of weights begin: a parameter or buffer; of wrappers, of the deploy graph, of the model."""

_SHORTER = {
    "encoder_layer_": "layer_",
    "_transformer_layer_": "_transformer_",
    "_attention_attention_": "_attention_",
    "_intermediate_dense_": "_expand_",
    "_output_dense_": "_reduce_",
    "_downsampling_layer_": "_downsampling_",
    "_convolution_": "_",
    "dequantize_per_channel": "weight",
    "_layernorm_before_": "_norm_1_",
    "_layernorm_after_": "_norm_2_",
}
"""Parts of names that say little or the same twice; a name stands in a program three times."""

_PASSES = ("_to_fp16", "_cast_fp16")
"""How names of values end that became float16."""


def compact(function: Any) -> None:
    """Share equal constants, and shorten names.

    Args:
        function: protobuf ``Function`` of a program; changed in place. Inputs and outputs keep their names.
    """
    block = function.block_specializations[function.opset]
    _share_constants(block)
    _shorten_names(block, inputs={given.name for given in function.inputs})


def _share_constants(block: Any) -> None:
    """Remove each small constant that is there already."""
    names: dict[str, str] = {}
    first: dict[bytes, str] = {}
    kept = []
    for op in block.operations:
        name = op.outputs[0].name
        small = op.type == "const" and op.attributes["val"].WhichOneof("value") == "immediateValue"
        content = op.attributes["val"].SerializeToString(deterministic=True) if small else b""
        same = first.setdefault(content, name) if small else name
        if same == name:
            kept.append(type(op).FromString(op.SerializeToString()))
        else:
            names[name] = same
    del block.operations[:]
    block.operations.extend(kept)
    _read_from(block, names)


def _shorten_names(block: Any, inputs: set[str]) -> None:
    taken = inputs | {output.name for op in block.operations for output in op.outputs}
    names = {}
    for op in block.operations:
        if len(op.outputs) != 1 or op.outputs[0].name in block.outputs:
            continue
        name = op.outputs[0].name
        shorter = _shortened(name)
        if shorter not in taken:
            taken.add(shorter)
            names[name] = op.outputs[0].name = shorter
            op.attributes["name"].immediateValue.tensor.strings.values[:] = [shorter]
    _read_from(block, names)


def _read_from(block: Any, names: dict[str, str]) -> None:
    """Let operations that read a value of some name read that of another."""
    for op in block.operations:
        for given in op.inputs.values():
            for argument in given.arguments:
                argument.name = names.get(argument.name, argument.name)


def _shortened(name: str) -> str:
    for prefix in _WRAPPERS:
        name = name.removeprefix(prefix)
    for suffix in _PASSES:
        name = name.removesuffix(suffix)
    for long, short in _SHORTER.items():
        name = name.replace(long, short)
    return name
