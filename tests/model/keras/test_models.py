from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakes.published import CvnetsSegmenter, alive, timm_classifier
from mobilevit_deploy.demo import demo_checkpoint, parity_photographs
from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.image import MobileViTImageProcessor, load_image
from mobilevit_deploy.model import (
    MobileViTConfig,
    MobileViTForImageClassification,
    MobileViTForSemanticSegmentation,
    MobileViTModel,
)

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from mobilevit_deploy.model.keras import (  # noqa: E402 - imports tensorflow
    TFMobileViTForImageClassification,
    TFMobileViTForSemanticSegmentation,
    TFMobileViTModel,
)

TWINS = {
    MobileViTModel: TFMobileViTModel,
    MobileViTForImageClassification: TFMobileViTForImageClassification,
    MobileViTForSemanticSegmentation: TFMobileViTForSemanticSegmentation,
}
each_class = pytest.mark.parametrize("kind", list(TWINS), ids=lambda kind: kind.__name__)

ODD = (71, 98)
"""Height and width that no stage's patches tile: every MobileViT block resizes its map."""


@pytest.fixture
def classifier(make_model: Callable[..., Any], tiny: MobileViTConfig) -> Any:
    return make_model(tiny)


def pixels(*size: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(2110).random((batch, 3, *size), dtype=np.float32)


def relative_error(actual: Any, expected: torch.Tensor) -> float:
    wanted = expected.detach().numpy()
    assert tuple(actual.shape) == wanted.shape
    assert np.ptp(wanted) > 1e-3  # else everything would agree
    return float(np.abs(np.asarray(actual) - wanted).max() / np.ptp(wanted))


class TestParity:
    @each_class
    @pytest.mark.parametrize("stride", [8, 16, 32])
    def test_equals_the_reference(
        self, kind: Any, stride: int, tiny: MobileViTConfig, live: Callable[..., Any]
    ) -> None:
        model = live(tiny.updated(output_stride=stride), kind)
        twin = TWINS[kind].from_reference(model)
        for size in ((64, 64), ODD):
            expected = model(torch.from_numpy(pixels(*size)), output_hidden_states=True)
            actual = twin(pixels(*size), output_hidden_states=True)
            assert relative_error(actual[0], expected[0]) <= 1e-4
            assert len(actual.hidden_states) == len(expected.hidden_states) == 5
            for ours, theirs in zip(actual.hidden_states, expected.hidden_states, strict=True):
                assert relative_error(ours, theirs) <= 1e-4

    def test_published_architecture(self, make_model: Callable[..., Any]) -> None:
        model = make_model(MobileViTConfig.preset("xxs", num_labels=10))
        twin = TFMobileViTForImageClassification.from_reference(model)
        expected = model(torch.from_numpy(pixels(64, 96))).logits
        assert relative_error(twin(pixels(64, 96)).logits, expected) <= 1e-4

    @pytest.mark.parametrize("name", ["relu", "relu6", "gelu", "hardswish", "swish"])
    def test_activations(self, name: str, tiny: MobileViTConfig, make_model: Callable[..., Any]) -> None:
        model = make_model(tiny.updated(hidden_act=name))
        twin = TFMobileViTForImageClassification.from_reference(model)
        expected = model(torch.from_numpy(pixels(64, 64))).logits
        assert relative_error(twin(pixels(64, 64)).logits, expected) <= 1e-4

    def test_other_patches_and_kernels(self, tiny: MobileViTConfig, make_model: Callable[..., Any]) -> None:
        model = make_model(tiny.updated(patch_size=4, conv_kernel_size=5, qkv_bias=False))
        twin = TFMobileViTForImageClassification.from_reference(model)
        expected = model(torch.from_numpy(pixels(*ODD))).logits
        assert relative_error(twin(pixels(*ODD)).logits, expected) <= 1e-4

    def test_pooled_output(self, tiny: MobileViTConfig, make_model: Callable[..., Any]) -> None:
        model = make_model(tiny, MobileViTModel)
        expected = model(torch.from_numpy(pixels(64, 64))).pooler_output
        assert relative_error(TFMobileViTModel.from_reference(model)(pixels(64, 64))[1], expected) <= 1e-4

    def test_without_expansion(self, tiny: MobileViTConfig, make_model: Callable[..., Any]) -> None:
        model = make_model(tiny, MobileViTModel, expand_output=False)
        actual = TFMobileViTModel.from_reference(model)(pixels(64, 64))
        assert actual.pooler_output is None
        assert relative_error(actual[0], model(torch.from_numpy(pixels(64, 64)))[0]) <= 1e-4


@pytest.mark.parametrize(
    ("kind", "source", "output"),
    [
        (MobileViTModel, "demo", "pooler_output"),
        (MobileViTForImageClassification, "demo", "logits"),
        (MobileViTForSemanticSegmentation, "demo-segmentation", "logits"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_gives_what_the_published_class_gave(kind: Any, source: str, output: str) -> None:
    """transformers 4.49, the last with TensorFlow classes, ran the bundled models: see the script there."""
    golden = np.load(Path(__file__).parents[2] / "golden" / "published_tensorflow.npz")
    twin = TWINS[kind].from_pretrained(demo_checkpoint(source))
    found = getattr(twin(pixels(96, 96)), output)
    assert relative_error(found, torch.from_numpy(golden[kind.__name__])) <= 1e-4


class TestCall:
    def test_takes_what_a_processor_gives(self, classifier: Any) -> None:
        twin = TFMobileViTForImageClassification.from_reference(classifier)
        assert tuple(twin(pixel_values=pixels(64, 64))["logits"].shape) == (2, 3)

    def test_is_called_as_the_documentation_page_does(self, classifier: Any) -> None:
        """``inputs = processor(image, return_tensors="tf"); logits = model(**inputs).logits``."""
        picture = load_image(parity_photographs()[0])
        processor = MobileViTImageProcessor(size=72, crop_size=64)
        as_tensor, as_array = processor(picture, return_tensors="tf"), processor(picture, return_tensors="np")
        assert isinstance(as_tensor.pixel_values, tf.Tensor)
        np.testing.assert_array_equal(as_tensor.pixel_values.numpy(), as_array.pixel_values)
        twin = TFMobileViTForImageClassification.from_reference(classifier)
        np.testing.assert_array_equal(twin(**as_tensor).logits, twin(**as_array).logits)

    def test_traces_with_unknown_sizes(self, classifier: Any) -> None:
        twin = TFMobileViTForImageClassification.from_reference(classifier)
        traced = tf.function(twin, input_signature=[tf.TensorSpec((None, 3, None, None))])
        for size in ((64, 64), ODD):
            expected = classifier(torch.from_numpy(pixels(*size))).logits
            assert relative_error(traced(pixels(*size)).logits, expected) <= 1e-4

    def test_predicts_in_batches(self, classifier: Any) -> None:
        twin = TFMobileViTForImageClassification.from_reference(classifier)
        found = twin.predict(pixels(64, 64, batch=3), batch_size=2, verbose=0)
        expected = classifier(torch.from_numpy(pixels(64, 64, batch=3))).logits
        assert relative_error(found.logits, expected) <= 1e-4

    @pytest.mark.parametrize("shape", [(2, 64, 64, 3), (3, 64, 64), (1, 3, 0, 64)])
    def test_other_shapes(self, classifier: Any, shape: tuple[int, ...]) -> None:
        twin = TFMobileViTForImageClassification.from_reference(classifier)
        with pytest.raises(ValueError, match=r"must be \[batch, 3, height, width\]"):
            twin(np.zeros(shape, np.float32))

    def test_grey_levels(self, classifier: Any) -> None:
        twin = TFMobileViTForImageClassification.from_reference(classifier)
        with pytest.raises(ValueError, match=r"floating point in 0\.\.1, not uint8"):
            twin(np.zeros((1, 3, 64, 64), np.uint8))

    def test_dropout_and_batch_norm_follow_training(self, classifier: Any) -> None:
        twin = TFMobileViTForImageClassification.from_reference(classifier)
        before = twin.mobilevit.conv_stem.normalization.moving_mean.numpy()
        assert np.array_equal(twin(pixels(64, 64)).logits, twin(pixels(64, 64), training=False).logits)
        twin(pixels(64, 64), training=True)
        assert not np.array_equal(twin.mobilevit.conv_stem.normalization.moving_mean.numpy(), before)


class TestLoss:
    @pytest.mark.parametrize(
        ("num_labels", "labels"),
        [
            (3, np.array([0, 2])),
            (3, np.array([[0, 1, 1], [1, 0, 0]], np.float32)),
            (1, np.array([0.5, -1], np.float32)),
        ],
        ids=["one class", "several classes", "regression"],
    )
    def test_classification(
        self, num_labels: int, labels: np.ndarray, tiny: MobileViTConfig, make_model: Callable[..., Any]
    ) -> None:
        model = make_model(tiny.updated(num_labels=num_labels))
        twin = TFMobileViTForImageClassification.from_reference(model)
        expected = model(torch.from_numpy(pixels(64, 64)), labels=torch.from_numpy(labels)).loss
        actual = twin(pixels(64, 64), labels=labels).loss
        assert float(actual) == pytest.approx(expected.item(), rel=1e-4)

    def test_segmentation_ignores_a_class(
        self, tiny: MobileViTConfig, make_model: Callable[..., Any]
    ) -> None:
        model = make_model(tiny, MobileViTForSemanticSegmentation)
        twin = TFMobileViTForSemanticSegmentation.from_reference(model)
        labels = np.random.default_rng(0).choice([0, 1, 2, 255], (2, 50, 60))
        expected = model(torch.from_numpy(pixels(64, 64)), labels=torch.from_numpy(labels)).loss
        actual = twin(pixels(64, 64), labels=labels).loss
        assert float(actual) == pytest.approx(expected.item(), rel=1e-4)

    def test_masks_of_another_rank(self, tiny: MobileViTConfig) -> None:
        with pytest.raises(ValueError, match=r"labels must be \[batch, height, width\]"):
            TFMobileViTForSemanticSegmentation(tiny)(pixels(64, 64), labels=np.zeros((2, 1, 8, 8), int))

    def test_fits_with_the_published_loss(self, classifier: Any) -> None:
        twin = TFMobileViTForImageClassification.from_reference(classifier)
        twin.compile(optimizer=keras.optimizers.Adam(1e-2), metrics=["accuracy"])
        history = twin.fit(pixels(64, 64), np.array([0, 2]), epochs=6, verbose=0).history
        assert history["loss"][-1] < history["loss"][0]
        assert "accuracy" in history


class TestDocumentationPage:
    """Its recipe for TFLite: ``from_keras_model``, ``Optimize.DEFAULT``, built-in and select TF operators."""

    @pytest.mark.parametrize("kind", [MobileViTForImageClassification, MobileViTForSemanticSegmentation])
    def test_converts_a_loaded_model_that_was_never_called(
        self, kind: Any, tiny: MobileViTConfig, make_model: Callable[..., Any], tmp_path: Path
    ) -> None:
        interpreter_of = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
        model = make_model(tiny.updated(image_size=64), kind)
        model.save_pretrained(tmp_path)
        converter = tf.lite.TFLiteConverter.from_keras_model(TWINS[kind].from_pretrained(tmp_path))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
        interpreter = interpreter_of(model_content=converter.convert())
        (given,) = interpreter.get_input_details()
        assert list(given["shape"]) == [1, 3, 64, 64]
        run = interpreter.get_signature_runner()
        (name,) = run.get_input_details()
        logits = run(**{name: pixels(64, 64, batch=1)})["logits"]
        expected = model(torch.from_numpy(pixels(64, 64, batch=1))).logits
        assert relative_error(logits, expected) <= 0.1  # weights in 8 bits

    def test_an_output_is_a_dictionary_of_what_is_set(self, classifier: Any) -> None:
        output = TFMobileViTForImageClassification.from_reference(classifier)(pixels(64, 64))
        assert list(output) == ["logits"]
        assert output.loss is None
        assert output[0] is output["logits"] is output.logits


class TestCheckpoints:
    @each_class
    def test_writes_what_the_reference_reads(
        self, kind: Any, tiny: MobileViTConfig, make_model: Callable[..., Any], tmp_path: Path
    ) -> None:
        model = make_model(tiny, kind)
        TWINS[kind].from_reference(model).save_pretrained(tmp_path)
        again = kind.from_pretrained(tmp_path)
        assert again.config.architectures == (kind.__name__,)
        wanted = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
        assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in wanted.items())

    def test_transformers_reads_it_too(self, classifier: Any, tmp_path: Path) -> None:
        transformers = pytest.importorskip("transformers")
        TFMobileViTForImageClassification.from_reference(classifier).save_pretrained(tmp_path)
        published = transformers.MobileViTForImageClassification.from_pretrained(tmp_path).eval()
        logits = published(torch.from_numpy(pixels(64, 64))).logits
        assert relative_error(classifier(torch.from_numpy(pixels(64, 64))).logits.detach(), logits) <= 1e-5

    @each_class
    def test_loads_the_same_checkpoint_as_the_reference(
        self, kind: Any, tiny: MobileViTConfig, make_model: Callable[..., Any], tmp_path: Path
    ) -> None:
        model = make_model(tiny, kind)
        model.save_pretrained(tmp_path)
        twin = TWINS[kind].from_pretrained(tmp_path)
        assert relative_error(twin(pixels(64, 64))[0], model(torch.from_numpy(pixels(64, 64)))[0]) <= 1e-4

    def test_loads_a_classifier_of_timm(self, tmp_path: Path) -> None:
        published = timm_classifier("xxs", labels=4)
        torch.save(published.state_dict(), tmp_path / "mine.pth")
        twin = TFMobileViTForImageClassification.from_pretrained(tmp_path / "mine.pth")
        picture = pixels(128, 64, batch=1)
        assert relative_error(twin(picture).logits, published(torch.from_numpy(picture))) <= 1e-4

    def test_loads_a_segmenter_of_ml_cvnets(self, tmp_path: Path) -> None:
        published = alive(CvnetsSegmenter(MobileViTConfig.preset("xxs", num_labels=4, output_stride=16)))
        torch.save(published.state_dict(), tmp_path / "mine.pt")
        twin = TFMobileViTForSemanticSegmentation.from_pretrained(tmp_path / "mine.pt")
        picture = pixels(64, 64, batch=1)
        assert relative_error(twin(picture).logits, published(torch.from_numpy(picture))) <= 1e-4

    def test_checkpoint_of_another_class(
        self, tiny: MobileViTConfig, make_model: Callable[..., Any], tmp_path: Path
    ) -> None:
        make_model(tiny).save_pretrained(tmp_path)
        with pytest.raises(CheckpointError, match="does not fit"):
            TFMobileViTForSemanticSegmentation.from_pretrained(tmp_path)

    def test_twin_of_another_class(self, classifier: Any) -> None:
        with pytest.raises(TypeError, match="twin of MobileViTModel, not of MobileViTForImageClassification"):
            TFMobileViTModel.from_reference(classifier)

    @each_class
    def test_survives_keras_own_format(
        self, kind: Any, tiny: MobileViTConfig, make_model: Callable[..., Any], tmp_path: Path
    ) -> None:
        twin = TWINS[kind].from_reference(make_model(tiny, kind))
        twin.save(tmp_path / "twin.keras")
        again = keras.saving.load_model(tmp_path / "twin.keras")
        assert type(again) is TWINS[kind]
        assert again.config == twin.config
        assert np.array_equal(again(pixels(64, 64))[0], twin(pixels(64, 64))[0])

    def test_fresh_weights_are_alive(self, tiny: MobileViTConfig) -> None:
        assert np.ptp(TFMobileViTForImageClassification(tiny)(pixels(64, 64)).logits) > 1e-3


class TestBackend:
    def test_missing_tensorflow_is_named_with_the_extra_that_brings_it(self) -> None:
        found = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; sys.modules['tensorflow'] = None; import mobilevit_deploy.model.keras",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "TargetError" in found.stderr
        assert "not installed: tensorflow" in found.stderr
        assert "pip install 'mobilevit-deploy[tf]'" in found.stderr

    def test_another_backend_is_named(self) -> None:
        found = subprocess.run(
            [sys.executable, "-c", "import mobilevit_deploy.model.keras"],
            env={**os.environ, "KERAS_BACKEND": "numpy"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Keras is set to the backend 'numpy'" in found.stderr
        assert "KERAS_BACKEND=tensorflow" in found.stderr
