"""The bundled demo model: a MobileViT-XXS trained on generated shapes, its data set and its photographs.

Importing this package imports neither torch nor numpy.
"""

from __future__ import annotations

from pathlib import Path

from mobilevit_deploy.demo.photographs import parity_photographs
from mobilevit_deploy.errors import CheckpointError

__all__ = ["DEMO_NAME", "demo_checkpoint", "parity_photographs"]

DEMO_NAME = "mobilevit-xxs-shapes"


def demo_checkpoint() -> Path:
    """Return the folder of the bundled checkpoint, in the Hugging Face layout.

    Raises:
        CheckpointError: the installation lacks it.
    """
    folder = Path(__file__).parent / DEMO_NAME
    if not (folder / "model.safetensors").is_file():
        raise CheckpointError(
            f"the bundled checkpoint {folder} is missing.",
            remedy=f"Reinstall mobilevit-deploy, or train it: python -m {__name__}.train --output {folder}",
        )
    return folder
