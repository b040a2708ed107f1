"""Every step from a picture to the input is told, and nothing that is not done."""

from __future__ import annotations

from mobilevit_deploy.artifact import TensorSpec
from mobilevit_deploy.image.spec import PreprocessSpec
from mobilevit_deploy.report import feeding

PREPROCESSING = PreprocessSpec(
    resize_shortest_edge=36, resample="bilinear", crop=(32, 48), rescale_factor=1 / 255, channel_order="BGR"
)


def test_feeding_is_told_step_by_step() -> None:
    nhwc = TensorSpec(name="image", shape=(1, 32, 48, 3), dtype="float32", layout="NHWC")
    steps = feeding.steps(PREPROCESSING, nhwc)
    assert steps == [
        "Decode the picture to 8-bit RGB, turned upright as its EXIF orientation says.",
        "Scale its shorter edge to 36 px, the longer one by the same factor (bilinear, antialiased).",
        "Cut 48 \N{MULTIPLICATION SIGN} 32 px out of its centre; surround what is too small with zeros.",
        "Multiply the grey levels by 1/255; subtract nothing.",
        "Order the channels BGR and the axes NHWC: image, float32 [1, 32, 48, 3].",
    ]


def test_feeding_a_picture_leaves_its_grey_levels_alone() -> None:
    picture = TensorSpec(name="image", shape=(1, 32, 48, 3), dtype="uint8", layout="NHWC")
    steps = feeding.steps(PREPROCESSING.for_picture_input(), picture)
    assert steps[-1] == (
        "Keep the grey levels 0 to 255, the channels RGB and the axes NHWC: image, uint8 [1, 32, 48, 3]."
    )
    assert not any("Multiply" in step for step in steps)


def test_feeding_a_pixel_buffer_is_told_as_an_app_does_it() -> None:
    buffer = TensorSpec(
        name="image", shape=(1, 32, 48, 3), dtype="uint8", layout="NHWC", container="CVPixelBuffer"
    )
    size = "48 \N{MULTIPLICATION SIGN} 32 px"
    assert feeding.tensor(buffer) == f"image: CVPixelBuffer of {size}"
    *_, last = feeding.steps(PREPROCESSING.for_picture_input(), buffer)
    assert last == (
        f"Hand it over as a CVPixelBuffer of {size}: image. "
        "The runtime reads its channels as RGB, in whatever order its bytes are."
    )


def test_feeding_leaves_out_what_is_not_done() -> None:
    pixels = TensorSpec(name="pixel_values", shape=(1, 3, 32, 48), dtype="float32", layout="NCHW")
    plain = PreprocessSpec(
        resize_to=(32, 48), resample="bicubic", crop=None, rescale_factor=0.0078, channel_order="RGB"
    )
    steps = feeding.steps(plain, pixels)
    assert len(steps) == 4
    assert "bicubic" in steps[1]
    assert "by 0.0078;" in steps[2]
