"""What a .pte file says about itself, read back from it alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.description import CARD_KEY, Description, read_card
from mobilevit_deploy.errors import ArtifactError

from .metadata import LABELS, read_labels
from .program import Method, Tensor, read_methods

_METHOD = "forward"

# A .pte keeps no names. These are what the target's own files have, told apart by type and rank.
_INPUTS = {("uint8", 4): ("image", "NHWC"), ("float32", 4): ("pixel_values", "NCHW")}
_OUTPUTS = {
    ("float32", 2): ("logits", "NC"),
    ("float32", 4): ("logits", "NCHW"),
    ("int32", 3): ("mask", "NHW"),
}


def describe_program(path: Path) -> Description:
    """Read a program; no runtime opens it.

    Raises:
        ArtifactError: it is no ExecuTorch program, a damaged one, or has no method ``forward``.
    """
    methods = read_methods(path)
    if _METHOD not in methods:
        raise ArtifactError(
            f"{path} has no method '{_METHOD}', only {', '.join(methods) or 'none'}.",
            remedy="Export the model again.",
        )
    forward = methods[_METHOD]
    card = read_card(path, "".join(methods[CARD_KEY].strings) if CARD_KEY in methods else None)
    labels = _labels(path, methods)
    return Description(
        inputs=_named(forward.inputs, _INPUTS if card else {}, "input"),
        outputs=_named(forward.outputs, _OUTPUTS if card else {}, "output"),
        card=card.model_copy(update={"labels": labels or ()}) if card else None,
        labels=labels,
        details=_details(forward, methods),
    )


def _labels(path: Path, methods: dict[str, Method]) -> tuple[str, ...] | None:
    if LABELS not in methods:
        return None
    try:
        return read_labels(methods[LABELS].strings)
    except ValueError as error:
        raise ArtifactError(
            f"{path} holds unreadable names of classes.", remedy="Export the model again."
        ) from error


def _named(
    tensors: tuple[Tensor, ...], names: dict[tuple[str, int], tuple[str, str]], otherwise: str
) -> tuple[TensorSpec, ...]:
    specs = []
    for number, tensor in enumerate(tensors):
        name, layout = names.get((tensor.dtype, len(tensor.shape)), (f"{otherwise}{number}", ""))
        specs.append(TensorSpec(name=name, shape=tensor.shape, dtype=tensor.dtype, layout=layout))
    return tuple(specs)


def _details(forward: Method, methods: dict[str, Method]) -> dict[str, str]:
    return {
        "methods": ", ".join(methods),
        "delegates": _counted(forward.delegates),
        "operators outside": _counted(forward.operators),
        "memory outside": f"{forward.planned_bytes:,} bytes",
    }


def _counted(names: tuple[str, ...]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).items()) or "none"
