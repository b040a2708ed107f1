"""What is publicly known of what Apple's Neural Engine takes, and of what slows it down.

Core ML decides on the device, by rules that Apple does not publish as a list. On a Mac, Xcode's performance
report tells; these are the rules that Apple's articles and those who measured have written down.
"""

from __future__ import annotations

from collections.abc import Collection

from mobilevit_deploy.dataflow import Dataflow, Node, Value, bits
from mobilevit_deploy.inspection import Rule

_TRANSFORMERS = "https://machinelearning.apple.com/research/neural-engine-transformers"
_TYPED = "https://apple.github.io/coremltools/docs-guides/source/typed-execution.html"
_UNSUPPORTED = "https://github.com/hollance/neural-engine/blob/master/docs/unsupported-layers.md"
_COMPUTE_PLAN = "https://github.com/roboflow/rf-detr/pull/1495"
_FLEXIBLE = "https://developer.apple.com/forums/thread/724930"

_SEEN_ON_OTHERS = {
    "argsort",
    "gather",
    "gather_along_axis",
    "gather_nd",
    "non_maximum_suppression",
    "non_zero",
    "scatter",
    "scatter_along_axis",
    "scatter_nd",
    "topk",
}
_RECURRENT = {"gru", "lstm", "rnn", "cond", "while_loop", "custom"}
_DICTIONARIES = {"classify"}
_TYPES = {"float16", "int8", "uint8", "bool"}

_ALIGNMENT = 64
"""Bytes to which the last axis is padded."""
_SMALL = 16384
"""Bytes below which padding is not worth a warning."""


def rules(dilated: Collection[str]) -> tuple[Rule, ...]:
    """Rules for a program; ``dilated`` names its convolutions that skip pixels."""
    return (
        Rule(
            "Numbers are float16, or of 8 bits: programs in float32 run on the GPU and the CPU.",
            _TYPED,
            "Export with --precision fp16.",
            lambda node, flow: node.kind not in {"cast", *_DICTIONARIES} and _of_other_types(node, flow),
        ),
        Rule(
            "Tensors have at most four axes: the Neural Engine's own format has four, channels first.",
            _TRANSFORMERS,
            "Split the operation into steps on tensors of four axes.",
            lambda node, flow: any(len(value.shape) > 4 for value in flow.activations(node)),
        ),
        Rule(
            "The operation picks no elements by computed indices; topk and its like were seen on the CPU.",
            _COMPUTE_PLAN,
            "Keep it at the end of the graph, so that the rest stays in one piece, or leave it to the app.",
            lambda node, _: node.kind in _SEEN_ON_OTHERS,
        ),
        Rule(
            "There are no recurrent layers, loops or layers of one's own.",
            _UNSUPPORTED,
            "Write it with operations on whole tensors.",
            lambda node, _: node.kind in _RECURRENT,
        ),
        Rule(
            "Results are tensors. A classifier's dictionary of classes is made by the CPU.",
            "https://apple.github.io/coremltools/docs-guides/source/classifiers.html",
            "Nothing, unless every operation counts: it is the last one, and small.",
            lambda node, _: node.kind in _DICTIONARIES,
        ),
        Rule(
            "Sizes are fixed, or enumerated: of a range, the default size alone runs on the Neural Engine.",
            _FLEXIBLE,
            "Export with fixed sizes, or with coremltools' EnumeratedShapes.",
            lambda node, flow: not all(value.fixed for value in flow.activations(node)),
            refused=False,
        ),
        Rule(
            "Convolutions skip no pixels: older devices leave dilated ones to the GPU.",
            _UNSUPPORTED,
            "Look at Xcode's performance report for the oldest device that you support.",
            lambda node, _: node.name in dilated,
            refused=False,
        ),
        Rule(
            "The last axis fills 64 bytes, 32 numbers of float16: a shorter one is padded to that.",
            _TRANSFORMERS,
            "Order the axes so that a long one is the last.",
            lambda node, flow: any(_padded(flow.values[name]) for name in node.outputs),
            refused=False,
        ),
        Rule(
            "Matrix products are 1x1 convolutions on (B, C, 1, S), the format that needs no copies.",
            _TRANSFORMERS,
            "Write linear layers as convolutions with a kernel of 1.",
            lambda node, flow: node.kind == "linear" and len(flow.values[node.outputs[0]].shape) > 2,
            refused=False,
        ),
        Rule(
            "Few reshapes and transposes: those that change the last axis copy the tensor.",
            _TRANSFORMERS,
            "Stay in one layout over consecutive layers.",
            lambda node, _: node.kind in {"reshape", "transpose"},
            refused=False,
        ),
    )


def _of_other_types(node: Node, flow: Dataflow) -> bool:
    return any(value.dtype not in _TYPES for value in flow.activations(node))


def _padded(value: Value) -> bool:
    """Whether padding at least doubles it, and it is not small."""
    if not value.shape or value.bytes < _SMALL:
        return False
    return 2 * value.shape[-1] * bits(value.dtype) // 8 <= _ALIGNMENT
