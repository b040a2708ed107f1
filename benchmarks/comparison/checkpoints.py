"""The weights that ours and the peers' files are made from, as folders that both sides load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

CALIBRATION_STEPS = 20
"""After these, a running average with momentum 0.1 holds 88 % of what it averages."""


def checkpoint(model: str, folder: Path) -> Path:
    """The checkpoint called ``model``, one of ``MODELS``; ``folder`` keeps what has to be made for it."""
    return MODELS[model](folder / "checkpoint")


def _bundled(folder: Path) -> Path:  # noqa: ARG001
    """MobileViT-XXS as it is bundled: trained, 12 classes."""
    from mobilevit_deploy.demo import demo_checkpoint

    return demo_checkpoint()


def calibrated(folder: Path, preset: str = "s", classes: int = 1000) -> Path:
    """A MobileViT of random weights whose BatchNorm statistics are those of pictures; returns ``folder``.

    As transformers initialises it, its activations would be denormal, and its latency that of denormals.
    """
    if (folder / "preprocessor_config.json").exists():
        return folder
    import torch

    from mobilevit_deploy.demo.photographs import parity_photographs
    from mobilevit_deploy.image import MobileViTImageProcessor, load_image
    from mobilevit_deploy.model import MobileViTConfig, MobileViTForImageClassification

    torch.manual_seed(2110)
    model = MobileViTForImageClassification(MobileViTConfig.preset(preset, num_labels=classes)).train()
    processor = MobileViTImageProcessor()
    pictures = [load_image(path) for path in parity_photographs()]
    pixel_values = torch.from_numpy(processor(pictures, return_tensors="np").pixel_values)
    with torch.no_grad():
        for _ in range(CALIBRATION_STEPS):
            model(pixel_values)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)  # last: a folder with it is complete
    return folder


MODELS: dict[str, Callable[[Path], Path]] = {"s": calibrated, "xxs": _bundled}
