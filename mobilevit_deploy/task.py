"""What a MobileViT is trained to do."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """Named as on the Hugging Face hub; decides a model's head, and what its output means."""

    CLASSIFICATION = "image-classification"
    SEGMENTATION = "semantic-segmentation"
