"""What a package says about itself, read back from it alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.description import CARD_KEY, Description, read_card
from mobilevit_deploy.errors import ArtifactError, SessionError

from .classifier import class_labels
from .metadata import PIXEL_BUFFER, segmentation_labels
from .mil_interpreter import class_names
from .package import Package, read_package
from .toolkit import load_coremltools

_SYSTEMS = {
    6: "iOS 15, macOS 12",
    7: "iOS 16, macOS 13",
    8: "iOS 17, macOS 14",
    9: "iOS 18, macOS 15",
    10: "iOS 26, macOS 26",
}
"""The first systems that read a specification version; there were no ML programs before 6."""

_LAYOUTS = {1: "C", 2: "NC", 3: "NHW", 4: "NCHW"}


def describe_package(path: Path) -> Description:
    """Read a package; nothing in it changes.

    Raises:
        ArtifactError: it is no ML program, or a damaged one.
    """
    try:
        package = read_package(path)
        names = _names(package)
    except SessionError as error:
        raise ArtifactError(error.problem, remedy=error.remedy) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path} holds unreadable names of classes: {error}.", remedy="Export the model again."
        ) from error
    card = read_card(path, package.description.metadata.userDefined.get(CARD_KEY))
    if card and names and not card.labels:  # the format's own place for them is enough
        card = card.model_copy(update={"labels": names})
    # Labels that occur twice have other names in a dictionary: those of the card, unless they changed since.
    return Description(
        inputs=_tensors(package.description.input),
        outputs=_tensors(package.description.output),
        card=card,
        labels=card.labels if card and names == tuple(class_labels(card.labels)) else names,
        details=_details(package),
    )


def _tensors(features: Any) -> tuple[TensorSpec, ...]:
    kinds = {"imageType": _image, "multiArrayType": _array}
    found = ((feature, feature.type.WhichOneof("Type")) for feature in features)
    return tuple(kinds[kind](feature) for feature, kind in found if kind in kinds)


def _image(feature: Any) -> TensorSpec:
    image = feature.type.imageType
    grey = image.colorSpace in {image.GRAYSCALE, image.GRAYSCALE_FLOAT16}
    shape = (1, image.height, image.width, 1 if grey else 3)
    return TensorSpec(name=feature.name, shape=shape, dtype="uint8", layout="NHWC", container=PIXEL_BUFFER)


def _array(feature: Any) -> TensorSpec:
    array = feature.type.multiArrayType
    shape = tuple(array.shape)
    dtype = array.ArrayDataType.Name(array.dataType).lower().replace("double", "float64")
    return TensorSpec(name=feature.name, shape=shape, dtype=dtype, layout=_LAYOUTS.get(len(shape), ""))


def _names(package: Package) -> tuple[str, ...] | None:
    for operation in package.function.operations:
        if operation.op_type == "classify":
            return tuple(class_names(operation))
    return segmentation_labels(package.description)


def _details(package: Package) -> dict[str, str]:
    version = package.specification_version
    kinds = Counter(op.op_type for op in package.function.operations if op.op_type != "const")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda kind: -kind[1]))
    details = {
        "runs on": f"{_SYSTEMS[version]} (specification version {version})",
        "operations": f"{kinds.total()}: {counts}",
        "computes in": ", ".join(sorted(_computed_types(package.function))),
        "weights": _weights(package.function),
    }
    predicted = package.description.predictedFeatureName
    if predicted:
        probabilities = package.description.predictedProbabilitiesName
        details["classifier"] = f"{predicted} (best class), {probabilities} (dictionary)"
    return details


def _computed_types(function: Any) -> set[str]:
    # What is only cast, at the ends of a program, says nothing of how it computes.
    computing = [op for op in function.operations if op.op_type not in {"const", "cast", "classify"}]
    return {_type_name(out) for op in computing for out in op.outputs} & {"fp16", "fp32", "int8"}


def _weights(function: Any) -> str:
    """Megabytes of constants by their type, the largest first, without what is below a hundredth."""
    sizes: Counter[str] = Counter()
    for op in function.operations:
        if op.op_type == "const" and hasattr(op.val.val, "nbytes"):
            sizes[_type_name(op.outputs[0])] += op.val.val.nbytes
    shares = [(kind, size) for kind, size in sizes.most_common() if size > sizes.total() / 100]
    return ", ".join(f"{size / 1e6:.2f} MB of {kind}" for kind, size in shares)


def _type_name(var: Any) -> str:
    load_coremltools()
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(var.dtype))
