"""What a user may choose about an export, checked against what a target offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mobilevit_deploy.errors import TargetError, UsageError
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import ExportOptions, Input, Target, get_target, suggestion

if TYPE_CHECKING:
    from mobilevit_deploy.reference import Reference


def usable_target(name: str) -> Target:
    """The target called ``name``.

    Raises:
        UsageError: there is no such target.
        TargetError: it cannot run on this machine.
    """
    target = get_target(name)
    here = target.availability()
    if not here.usable:
        raise TargetError(f"Target '{name}' cannot run here: {here.reason}.", remedy=here.remedy)
    return target


def check_precision(target: Target, name: str) -> Precision:
    """The precision called ``name``.

    Raises:
        UsageError: ``target`` does not offer it; suggests the nearest.
    """
    offered = [str(precision) for precision in target.precisions]
    if name not in offered:
        raise UsageError(
            f"Target '{target.name}' has no precision '{name}'.",
            remedy=f"{suggestion(name, offered)}It offers: {', '.join(offered)}.",
        )
    return Precision(name)


def export_options(
    target: Target,
    precision: str,
    *,
    input: str = Input.IMAGE,  # noqa: A002
    argmax: bool = False,
    converter: str | None = None,
) -> ExportOptions:
    """What the user chose, checked against what ``target`` offers.

    Raises:
        UsageError: it does not offer the precision or the converter; suggests the nearest.
    """
    if converter is not None and converter not in target.converters:
        raise UsageError(
            f"Target '{target.name}' has no converter '{converter}'.",
            remedy=f"{suggestion(converter, list(target.converters))}It has: {', '.join(target.converters)}.",
        )
    if input not in list(Input):
        raise UsageError(f"There is no input '{input}'.", remedy=f"There are: {', '.join(Input)}.")
    return ExportOptions(
        check_precision(target, precision), converter or target.converters[0], Input(input), argmax
    )


def artifact_name(reference: Reference, target: Target, options: ExportOptions) -> str:
    """File name of an artifact, such as ``mobilevit-xxs-shapes-256-fp32.onnx``; names what is not default."""
    height, width = reference.image_size
    parts = [reference.name, f"{height}" if height == width else f"{height}x{width}", str(options.precision)]
    if options.input != Input.IMAGE:
        parts.append(str(options.input))
    if options.argmax:
        parts.append("mask")
    if options.converter != target.converters[0]:
        parts.append(options.converter)
    return "-".join(parts) + target.suffix
