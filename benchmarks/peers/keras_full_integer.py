"""TensorFlow's full-integer post-training quantisation, on the Keras twin.

As TensorFlow's guide has it: every operator in 8 bits or the conversion fails; input and output stay float,
so that all files are fed alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.inputs import SHAPE, calibration


class KerasFullInteger:
    name = "tf.lite full-integer"
    runtime = "tflite"
    precision = "int8"
    libraries = ("tensorflow-cpu", "keras")

    def export(self, checkpoint: Path, out: Path) -> None:
        import tensorflow as tf

        from mobilevit_deploy.model.keras import TFMobileViTForImageClassification

        model = TFMobileViTForImageClassification.from_pretrained(checkpoint)
        serve = tf.function(
            lambda pixel_values: model(pixel_values).logits,
            input_signature=[tf.TensorSpec(SHAPE, tf.float32)],
        )

        def representative_dataset() -> Iterator[list[Any]]:
            for pixel_values in calibration(checkpoint):
                yield [pixel_values]

        converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_dataset
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        out.write_bytes(converter.convert())


PEER = KerasFullInteger()
