"""Writes published_tensorflow.npz: what transformers' last TensorFlow classes give for the bundled models.

    python published_tensorflow.py DEMO DEMO-SEGMENTATION OUT

Runs in an environment of its own (``benchmarks/peers/documentation_page_requirements.txt``, transformers
4.49), since later versions have no TensorFlow classes; and so imports nothing of ours.
"""

import sys

import numpy as np
from transformers import (
    TFMobileViTForImageClassification,
    TFMobileViTForSemanticSegmentation,
    TFMobileViTModel,
)

classifier, segmenter, out = sys.argv[1:]
pixels = np.random.default_rng(2110).random((2, 3, 96, 96), dtype=np.float32)
np.savez_compressed(
    out,
    MobileViTModel=TFMobileViTModel.from_pretrained(classifier)(pixels).pooler_output.numpy(),
    MobileViTForImageClassification=TFMobileViTForImageClassification.from_pretrained(classifier)(
        pixels
    ).logits.numpy(),
    MobileViTForSemanticSegmentation=TFMobileViTForSemanticSegmentation.from_pretrained(segmenter)(
        pixels
    ).logits.numpy(),
)
