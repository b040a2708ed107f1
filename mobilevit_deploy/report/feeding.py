"""How an app feeds an artifact, in words: from a picture to its input."""

from __future__ import annotations

import math

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.image.spec import PreprocessSpec
from mobilevit_deploy.report.data import Report, Row
from mobilevit_deploy.report.words import pixels


def tensor(spec: TensorSpec) -> str:
    """An input or output, such as ``pixel_values: float32 [1, 3, 256, 256] (NCHW)``."""
    array = f"{spec.dtype} {list(spec.shape)} ({spec.layout})"
    return f"{spec.name}: {_contained(spec) if spec.container else array}"


def ways(report: Report) -> list[list[Row]]:
    """Artifacts by the way in which they are fed."""
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in report.artifacts:
        manifest = row.manifest
        key = (manifest.inputs, manifest.outputs, manifest.preprocessing, manifest.labels)
        found.setdefault(key, []).append(row)
    return list(found.values())


def steps(how: PreprocessSpec, spec: TensorSpec) -> list[str]:
    """How a picture becomes the input ``spec`` of an artifact, step by step."""
    found = ["Decode the picture to 8-bit RGB, turned upright as its EXIF orientation says."]
    if how.resize_shortest_edge is not None:
        found.append(
            f"Scale its shorter edge to {how.resize_shortest_edge} px, the longer one by the same factor "
            f"({how.resample}, antialiased)."
        )
    if how.resize_to is not None:
        found.append(f"Scale it to {pixels(how.resize_to)} ({how.resample}, antialiased).")
    if how.crop is not None:
        found.append(f"Cut {pixels(how.crop)} out of its centre; surround what is too small with zeros.")
    if spec.container:
        reading = f"The runtime reads its channels as {how.channel_order}, in whatever order its bytes are."
        return [*found, f"Hand it over as a {_contained(spec)}: {spec.name}. {reading}"]
    order = f"Order the channels {how.channel_order} and the axes {spec.layout}"
    if spec.dtype == "uint8":
        order = f"Keep the grey levels 0 to 255, the channels {how.channel_order} and the axes {spec.layout}"
    else:
        found.append(f"Multiply the grey levels by {_factor(how.rescale_factor)}; subtract nothing.")
    return [*found, f"{order}: {spec.name}, {spec.dtype} {list(spec.shape)}."]


def _contained(spec: TensorSpec) -> str:
    height, width = (spec.shape[spec.layout.index(axis)] for axis in "HW")
    return f"{spec.container} of {pixels((height, width))}"


def _factor(value: float) -> str:
    inverse = round(1 / value)
    return f"1/{inverse}" if value < 1 and math.isclose(1 / value, inverse, rel_tol=1e-6) else f"{value:g}"
