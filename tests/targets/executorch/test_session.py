from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mobilevit_deploy.artifact import Artifact, TensorSpec, open_artifact
from mobilevit_deploy.errors import SessionError
from mobilevit_deploy.pipeline import check
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import get_target

PIXELS = np.linspace(0, 1, 48, dtype=np.float32).reshape(1, 3, 4, 4)


class TestRun:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_gives_what_the_graph_gives(
        self, small_artifact: Artifact, small_graph: nn.Module, threads: int
    ) -> None:
        session = get_target("executorch").open_session(small_artifact, threads=threads)
        with torch.no_grad():
            expected = small_graph(torch.from_numpy(PIXELS)).numpy()
        np.testing.assert_allclose(session.run(PIXELS)[0], expected, rtol=1e-5, atol=1e-6)
        session.close()

    def test_takes_arrays_in_any_memory_order_and_read_only(self, small_artifact: Artifact) -> None:
        session = get_target("executorch").open_session(small_artifact)
        transposed = np.asfortranarray(PIXELS)
        transposed.flags.writeable = False
        assert np.array_equal(session.run(transposed)[0], session.run(PIXELS)[0])
        session.close()

    def test_outputs_outlive_the_next_run_and_the_session(self, small_artifact: Artifact) -> None:
        session = get_target("executorch").open_session(small_artifact)
        (first,) = session.run(PIXELS)
        kept = first.copy()
        session.run(-PIXELS)
        session.close()
        assert np.array_equal(first, kept)

    @pytest.mark.parametrize(
        ("inputs", "given"),
        [
            ([PIXELS[0]], r"float32\[3, 4, 4\]"),
            ([PIXELS.astype(np.float64)], r"float64\[1, 3, 4, 4\]"),
            ([PIXELS, PIXELS], r"float32\[1, 3, 4, 4\], float32\[1, 3, 4, 4\]"),
            ([], "nothing"),
        ],
    )
    def test_refuses_other_inputs(
        self, small_artifact: Artifact, inputs: list[np.ndarray], given: str
    ) -> None:
        session = get_target("executorch").open_session(small_artifact)
        with pytest.raises(SessionError, match=rf"takes float32\[1, 3, 4, 4\], not {given}\."):
            session.run(*inputs)
        session.close()


class TestThreads:
    """The runtime has one thread pool in a process, and models point into it."""

    def test_sessions_with_the_same_number_live_side_by_side(self, small_artifact: Artifact) -> None:
        first, second = (get_target("executorch").open_session(small_artifact, threads=2) for _ in range(2))
        assert np.array_equal(first.run(PIXELS)[0], second.run(PIXELS)[0])
        first.close()
        second.close()

    def test_another_number_has_to_wait_until_all_are_closed(self, small_artifact: Artifact) -> None:
        target = get_target("executorch")
        session = target.open_session(small_artifact, threads=1)
        with pytest.raises(SessionError, match="an open session uses it with threads=1"):
            target.open_session(small_artifact, threads=2)
        session.run(PIXELS)
        session.close()
        target.open_session(small_artifact, threads=2).close()

    def test_a_forgotten_session_does_not_block(self, small_artifact: Artifact) -> None:
        target = get_target("executorch")
        target.open_session(small_artifact, threads=1)
        target.open_session(small_artifact, threads=2).close()

    def test_closing_twice_is_harmless(self, small_artifact: Artifact) -> None:
        session = get_target("executorch").open_session(small_artifact)
        session.close()
        session.close()

    def test_none_is_refused(self, small_artifact: Artifact) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            get_target("executorch").open_session(small_artifact, threads=0)


class TestDamage:
    """Files that are not what was exported, with a manifest that does not give them away."""

    def test_damaged_weights_fail_parity(
        self, artifact_copy: Callable[..., Path], reference: Reference
    ) -> None:
        artifact, _ = open_artifact(artifact_copy("executorch"))
        content = bytearray(artifact.path.read_bytes())
        third = len(content) // 12 * 4
        content[third : third + 4000] = np.full(1000, 0.5, "<f4").tobytes()
        artifact.path.write_bytes(content)
        parity = check(artifact, get_target("executorch"), reference)
        assert parity.verdict == "fail"
        assert "of the reference's spread exceeds" in parity.reasons[0]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (lambda _: b"", "is no ExecuTorch program"),
            (lambda _: b"\x89PNG\r\n\x1a\n" * 100, "is no ExecuTorch program"),
            (lambda pte: pte[:8], r"offset 0 \+ size 64 > file_size_ 8"),
            (lambda pte: pte[:500], "File size is too small"),
            (lambda pte: pte[:-1], "File size is too small"),
            (lambda pte: pte[:64] + bytes(len(pte) - 64), "may be truncated or corrupt"),
            (lambda pte: pte.replace(b"Xnnpack", b"Unknown"), "Backend UnknownBackend is not registered"),
            (lambda pte: pte.replace(b"forward", b"nothing"), "No method named 'forward'"),
        ],
        ids=["empty", "another-format", "8-bytes", "500-bytes", "a-byte-less", "zeros", "backend", "method"],
    )
    def test_file_that_does_not_load(
        self, small_artifact: Artifact, tmp_path: Path, content: Callable[[bytes], bytes], reason: str
    ) -> None:
        path = tmp_path / "damaged.pte"
        path.write_bytes(content(small_artifact.path.read_bytes()))
        with pytest.raises(SessionError, match=reason):
            get_target("executorch").open_session(dataclasses.replace(small_artifact, path=path))

    def test_missing_file(self, small_artifact: Artifact, tmp_path: Path) -> None:
        gone = dataclasses.replace(small_artifact, path=tmp_path / "gone.pte")
        with pytest.raises(SessionError, match=r"gone\.pte cannot be read: No such file"):
            get_target("executorch").open_session(gone)

    def test_file_of_a_model_with_other_inputs(self, small_artifact: Artifact) -> None:
        other = dataclasses.replace(small_artifact, inputs=(_wider(small_artifact.inputs[0]),))
        with pytest.raises(SessionError, match=r"has the inputs .* was said to have .*\[1, 3, 4, 5\]"):
            get_target("executorch").open_session(other)

    def test_file_of_a_model_with_another_type_of_input(self, small_artifact: Artifact) -> None:
        (declared,) = small_artifact.inputs
        other = dataclasses.replace(small_artifact, inputs=(declared.model_copy(update={"dtype": "uint8"}),))
        with pytest.raises(SessionError, match=r"has the inputs .*float32.* was said to have .*uint8"):
            get_target("executorch").open_session(other)

    def test_file_of_a_model_with_other_outputs(self, small_artifact: Artifact) -> None:
        other = dataclasses.replace(small_artifact, outputs=(_wider(small_artifact.outputs[0]),))
        with pytest.raises(SessionError, match=r"has the outputs .* was said to have .*\[1, 3\]"):
            get_target("executorch").open_session(other)

    def test_no_byte_of_the_header_can_bring_the_process_down(
        self, small_artifact: Artifact, tmp_path: Path
    ) -> None:
        script = """
import sys
from pathlib import Path
from mobilevit_deploy.artifact import Artifact, TensorSpec
from mobilevit_deploy.errors import SessionError
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.target import get_target

image = TensorSpec(name="pixel_values", shape=(1, 3, 4, 4), dtype="float32", layout="NCHW")
logits = TensorSpec(name="logits", shape=(1, 2), dtype="float32", layout="NC")
source, damaged = map(Path, sys.argv[1:])
artifact = Artifact(damaged, "executorch", Precision.FP32, (image,), (logits,))
refused = 0
for position in range(64):
    content = bytearray(source.read_bytes())
    content[position] ^= 0xFF
    damaged.write_bytes(content)
    try:
        get_target("executorch").open_session(artifact).close()
    except SessionError:
        refused += 1
print(refused)
"""
        done = subprocess.run(
            [sys.executable, "-c", script, str(small_artifact.path), str(tmp_path / "damaged.pte")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"killed by signal {-done.returncode}"
        assert int(done.stdout) > 32


def _wider(spec: TensorSpec) -> TensorSpec:
    *rest, width = spec.shape
    return spec.model_copy(update={"shape": (*rest, width + 1)})
