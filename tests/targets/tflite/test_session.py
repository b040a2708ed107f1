from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from torch import Tensor

from mobilevit_deploy.artifact import Artifact, open_artifact
from mobilevit_deploy.errors import SessionError
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.pipeline import Exported, check
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import Session, get_target


@pytest.fixture
def artifact(exported: Callable[[str], Exported]) -> Artifact:
    return open_artifact(exported("tflite").path)[0]


@pytest.fixture
def damaged(artifact: Artifact, tmp_path: Path) -> Callable[[bytes], Artifact]:
    def write(content: bytes) -> Artifact:
        path = tmp_path / "damaged.tflite"
        path.write_bytes(content)
        return replace(artifact, path=path)

    return write


@pytest.fixture
def pixels(artifact: Artifact) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, artifact.inputs[0].shape, dtype=np.uint8)


def opened(artifact: Artifact, threads: int = 1) -> Session:
    return get_target("tflite").open_session(artifact, threads=threads)


class TestRun:
    def test_names_runtime_and_version(self, artifact: Artifact) -> None:
        session = opened(artifact)
        assert session.engine.startswith("litert 2.")
        assert session.measurable

    def test_takes_views_as_they_are(self, artifact: Artifact, pixels: np.ndarray) -> None:
        session = opened(artifact)
        view = pixels[..., ::-1]
        assert np.array_equal(session.run(view)[0], session.run(np.ascontiguousarray(view))[0])

    def test_result_survives_the_next_run(self, artifact: Artifact, pixels: np.ndarray) -> None:
        session = opened(artifact)
        (first,) = session.run(pixels)
        kept = first.copy()
        session.run(np.zeros_like(pixels))
        assert np.array_equal(first, kept)

    def test_uses_as_many_threads_as_asked_and_gives_them_back(self, artifact: Artifact) -> None:
        process = psutil.Process()
        before = process.num_threads()
        session = opened(artifact, threads=4)
        assert process.num_threads() == before + 3  # the caller's is the fourth
        session.close()
        assert process.num_threads() == before

    @pytest.mark.parametrize("count", [0, 2])
    def test_another_number_of_inputs(self, artifact: Artifact, pixels: np.ndarray, count: int) -> None:
        session = opened(artifact)
        with pytest.raises(SessionError, match=r"takes uint8\[1, 96, 96, 3\], not"):
            session.run(*[pixels] * count)


class TestDamage:
    def test_weights_a_hundredth_too_large(
        self, artifact: Artifact, damaged: Callable[[bytes], Artifact], reference: Reference
    ) -> None:
        layer = "mobilevit.encoder.layer.2.transformer.layer.0.output.dense"
        parity = self.check(artifact, damaged, reference, layer, lambda w: w * 1.01)
        assert parity.verdict == "fail"
        assert "of the reference's spread exceeds 1e-04" in parity.reasons[0]

    def test_classes_in_reverse(
        self, artifact: Artifact, damaged: Callable[[bytes], Artifact], reference: Reference
    ) -> None:
        parity = self.check(artifact, damaged, reference, "classifier", lambda w: w.flip(0))
        assert parity.verdict == "fail"
        assert any("best class agrees on" in reason for reason in parity.reasons)

    def test_weight_that_is_not_a_number(
        self, artifact: Artifact, damaged: Callable[[bytes], Artifact], reference: Reference
    ) -> None:
        parity = self.check(artifact, damaged, reference, "classifier", lambda w: w * math.nan)
        assert parity.verdict == "fail"
        assert "holds NaN or Inf" in parity.reasons[0]

    @staticmethod
    def check(
        artifact: Artifact,
        damaged: Callable[[bytes], Artifact],
        reference: Reference,
        layer: str,
        change: Callable[[Tensor], Tensor],
    ) -> ParityResult:
        weight = reference.model.get_parameter(f"{layer}.weight").detach()
        before, after = weight.numpy().tobytes(), change(weight).numpy().tobytes()
        content = artifact.path.read_bytes()
        assert content.count(before) == 1
        return check(damaged(content.replace(before, after)), get_target("tflite"), reference)


class TestOpening:
    @pytest.mark.parametrize("kept", [0, 1, 8, 64, 1000, 0.1, 0.5, 0.9, 0.99, -1000, -1])
    def test_truncated_file(
        self, artifact: Artifact, damaged: Callable[[bytes], Artifact], kept: float
    ) -> None:
        content = artifact.path.read_bytes()
        content = content[: content.rindex(b"PK\x03\x04")]  # without the packed labels, which LiteRT skips
        end = int(kept * len(content)) if isinstance(kept, float) else kept
        with pytest.raises(SessionError, match=r"cannot load .*damaged\.tflite"):
            opened(damaged(content[:end]))

    def test_flipped_bits_never_end_the_process(
        self, artifact: Artifact, damaged: Callable[[bytes], Artifact], pixels: np.ndarray
    ) -> None:
        content = artifact.path.read_bytes()
        chance = random.Random(0)
        refused = 0
        for _ in range(40):
            changed = bytearray(content)
            changed[-chance.randrange(1, 40_000)] ^= 1 << chance.randrange(8)  # where the nodes lie
            try:
                opened(damaged(bytes(changed))).run(pixels)
            except SessionError:
                refused += 1
        assert refused

    def test_refusal_is_said_once(
        self, damaged: Callable[[bytes], Artifact], capfd: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SessionError):
            opened(damaged(b"no flatbuffer at all"))
        assert capfd.readouterr() == ("", "")

    def test_file_of_another_model(self, artifact: Artifact) -> None:
        (declared,) = artifact.outputs
        other = replace(artifact, outputs=(declared.model_copy(update={"shape": (1, 1000)}),))
        with pytest.raises(SessionError, match=r"has the outputs .*12.* said to have .*1000"):
            opened(other)
