"""What TFLite's GPU delegate asks of a graph.

The delegate decides by ``gpu_compatibility.cc``. The analyser in the packages of TensorFlow 2.21 and LiteRT
2.3 (``gpu_compatibility=True``) claims to ask it, and finds fault with nothing: UNIQUE and CONV_3D pass. So
what can be seen from kinds, types and shapes is written down here.
"""

from __future__ import annotations

from mobilevit_deploy.dataflow import Dataflow, Node
from mobilevit_deploy.inspection import Rule

_CHECK = "https://github.com/google-ai-edge/LiteRT/blob/main/tflite/tools/versioning/gpu_compatibility.cc"
_COMMON = "https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/delegates/gpu/common"

_REDUCTIONS = {"MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM"}
_LISTED = """
    ABS ADD ADD_N ATAN2 AVERAGE_POOL_2D BATCH_MATMUL CAST CEIL CONCATENATION CONV_2D COS CUMSUM
    DENSIFY DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU
    EMBEDDING_LOOKUP EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER
    GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGISTIC LSTM MAXIMUM
    MAX_POOL_2D MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE RELU
    RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SIGN
    SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STABLEHLO_CLAMP
    STRIDED_SLICE SUB TANH TILE TRANSPOSE TRANSPOSE_CONV
"""
_KINDS = _REDUCTIONS | set(_LISTED.split())

_CASTS = {
    ("bool", "float16"),
    ("bool", "float32"),
    ("float16", "bool"),
    ("float32", "bool"),
    ("float32", "float32"),
    ("float32", "int32"),
    ("int32", "float32"),
    ("int32", "int32"),
}
_TYPES = {"bool", "float16", "float32", "int32", "int8", "uint8"}
_NEEDS_CONSTANTS = {*_REDUCTIONS, "RESHAPE", "TRANSPOSE", "TILE", "PAD", "PADV2", "MIRROR_PAD"}


def _of_other_types(node: Node, flow: Dataflow) -> bool:
    if node.kind == "CAST":
        given, made = (flow.values[names[0]].dtype for names in (node.inputs, node.outputs))
        return (given, made) not in _CASTS
    return any(value.dtype not in _TYPES for value in flow.activations(node))


def _of_other_ranks(node: Node, flow: Dataflow) -> bool:
    if node.kind in {"SLICE", "STRIDED_SLICE"} and len(flow.values[node.inputs[0]].shape) < 3:
        return True
    return any(not 1 <= len(value.shape) <= 4 for value in flow.activations(node))


def _crosswise(node: Node, flow: Dataflow) -> bool:
    """Whether each factor of a product is repeated along an axis of the other."""
    if node.kind != "MUL":
        return False
    left, right = (flow.values[name].shape for name in node.inputs)
    pairs = list(zip(left, right, strict=False))
    return len(left) == len(right) and any(a < b for a, b in pairs) and any(a > b for a, b in pairs)


def _computed_arguments(node: Node, flow: Dataflow) -> bool:
    return node.kind in _NEEDS_CONSTANTS and not flow.constants.issuperset(node.inputs[1:])


def _in_batches(node: Node, flow: Dataflow) -> bool:
    return any(value.shape[:1] not in {(), (1,)} for value in flow.activations(node))


RULES = (
    Rule(
        "The operator is one of the kinds that the delegate has.",
        _CHECK,
        "Write it with others, or keep it at an end of the graph, so that the rest stays in one piece.",
        lambda node, _: node.kind not in _KINDS,
    ),
    Rule(
        "Tensors are floats or quantised to 8 bits; CAST turns bool, int32 and float32 into each other.",
        _CHECK,
        "Feed float32 (export with --input tensor), or leave the conversion at the graph's ends to the CPU.",
        _of_other_types,
    ),
    Rule(
        "Tensors have one to four axes; what is sliced has three or four.",
        f"{_COMMON}/model_builder_helper.cc",
        "Split the operator into steps on tensors of four axes.",
        _of_other_ranks,
    ),
    Rule(
        "In MUL, one factor is at least as large as the other along every axis.",
        _CHECK,
        "Write the outer product as a convolution or a matrix product.",
        _crosswise,
    ),
    Rule(
        "Shapes, permutations, paddings and axes of reductions are constants.",
        _CHECK,
        "Export with fixed sizes.",
        _computed_arguments,
    ),
    Rule(
        "Sizes are fixed.",
        "https://ai.google.dev/edge/litert/performance/gpu",
        "Export with fixed sizes: after each resize the delegate prepares the graph again.",
        lambda node, flow: not all(value.fixed for value in flow.activations(node)),
        refused=False,
    ),
    Rule(
        "The first axis of every tensor is 1. Back ends differ over other batches: OpenGL, the fallback of "
        "phones without OpenCL, refuses a graph that mixes them.",
        f"{_COMMON}/model.cc",
        "Keep what is worked on in parallel, such as patches or heads, in the second axis.",
        _in_batches,
        refused=False,
    ),
)
"""From what refuses an operator to what only some devices refuse."""
