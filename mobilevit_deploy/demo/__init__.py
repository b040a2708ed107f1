"""The bundled demo models, MobileViT-XXS trained on generated shapes; their data set and photographs.

Importing this package imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mobilevit_deploy.demo.photographs import parity_photographs
from mobilevit_deploy.errors import CheckpointError

__all__ = ["DEMOS", "demo_checkpoint", "parity_photographs"]

DEMOS: Mapping[str, str] = MappingProxyType(
    {"demo": "mobilevit-xxs-shapes", "demo-segmentation": "mobilevit-xxs-shapes-segmentation"}
)
"""What stands for a bundled model where a checkpoint is asked for -> the folder that it lies in."""

_TRAINED_BY = {"demo": "--output", "demo-segmentation": "--task segmentation --output"}


def demo_checkpoint(source: str = "demo") -> Path:
    """Return the folder of a bundled checkpoint, in the Hugging Face layout.

    Args:
        source: one of ``DEMOS``.

    Raises:
        CheckpointError: there is no such demo model, or the installation lacks it.
    """
    if source not in DEMOS:
        raise CheckpointError(
            f"there is no demo model '{source}'.", remedy=f"These are bundled: {', '.join(DEMOS)}."
        )
    folder = Path(__file__).parent / DEMOS[source]
    if not (folder / "model.safetensors").is_file():
        raise CheckpointError(
            f"the bundled checkpoint {folder} is missing.",
            remedy="Reinstall mobilevit-deploy, or train it: "
            f"python -m {__name__}.train {_TRAINED_BY[source]} {folder}",
        )
    return folder
