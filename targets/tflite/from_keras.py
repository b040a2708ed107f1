"""The converter of TensorFlow: from the Keras twin of the model inside a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mobilevit_deploy.conversion import conversion
from mobilevit_deploy.errors import ExportError
from mobilevit_deploy.model.graph import MaskGraph, PictureGraph
from mobilevit_deploy.quantize import Precision

from .export import channels_last

if TYPE_CHECKING:
    from torch import nn

    from mobilevit_deploy.model.keras.head import TFMobileViTWithHead
    from mobilevit_deploy.target import ExportOptions, GraphSpec

SELECT_TF_OPS = "keras-select-tf-ops"


def convert(graph: nn.Module, spec: GraphSpec, options: ExportOptions) -> bytes:
    """The content of a .tflite file, feature maps in NHWC.

    Args:
        graph: no rewrites have changed the model inside.
        spec: what it takes and gives.
        options: ``int8-dynamic`` is TensorFlow's ``Optimize.DEFAULT``, ``fp16`` the same with float16
            weights; ``keras-select-tf-ops`` lets the converter fall back to TensorFlow's operators, as
            MobileViT's documentation page does.

    Raises:
        ExportError: TensorFlow refused the graph, or the precision is ``int8``.
        TargetError: tensorflow is not installed.
    """
    from mobilevit_deploy.model.keras import twin_of

    if options.precision == Precision.INT8:
        raise ExportError(
            f"The converter '{options.converter}' does not write int8: TensorFlow's is slower than fp32.",
            remedy="Leave out --converter, or take --precision int8-dynamic.",
        )
    with conversion("TensorFlow could not convert the graph"):
        import tensorflow as tf

        inner: Any = graph.tensor_graph if isinstance(graph, PictureGraph) else graph
        function = _function(inner, twin_of(inner.model), spec).get_concrete_function()
        # Given the owner of the variables too, the converter would leave them variables, and fold nothing.
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        if options.converter == SELECT_TF_OPS:
            builtin, fallback = tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS
            converter.target_spec.supported_ops = [builtin, fallback]
        if options.precision != Precision.FP32:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if options.precision == Precision.FP16:
            converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())


def _function(graph: Any, twin: TFMobileViTWithHead, spec: GraphSpec) -> Any:
    """What to convert: the Keras twin of the model inside ``graph``, with what ``graph`` does around it."""
    import tensorflow as tf

    given = channels_last(spec.input)

    def serve(picture: Any) -> Any:
        result = twin.graph(tf.cast(picture, tf.float32))
        if isinstance(graph, MaskGraph):
            enlarged = tf.image.resize(result, given.shape[1:3], method="bilinear")
            result = tf.argmax(enlarged, axis=-1, output_type=tf.int32)
        return result

    return tf.function(serve, input_signature=[tf.TensorSpec(given.shape, given.dtype)])
