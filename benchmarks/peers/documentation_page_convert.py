"""MobileViT's documentation page of transformers up to 4.49, its section on TensorFlow Lite, as it stands.

    python documentation_page_convert.py CHECKPOINT OUT

Runs in an environment of its own (``documentation_page_requirements.txt``), and so imports nothing of ours.
"""

import sys
from pathlib import Path

import tensorflow as tf
from transformers import TFMobileViTForImageClassification

checkpoint, out = sys.argv[1:]
model = TFMobileViTForImageClassification.from_pretrained(checkpoint)

converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
Path(out).write_bytes(converter.convert())
