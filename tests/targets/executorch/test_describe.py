from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import card
from mobilevit_deploy.artifact import Artifact, TensorSpec
from mobilevit_deploy.description import CARD_KEY, Description
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.image import PreprocessSpec
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import ExportOptions, GraphSpec, get_target


def described(path: Path) -> Description:
    return get_target("executorch").describe(path)


class TestOwnFile:
    def test_gives_back_what_went_in(self, small_artifact: Artifact, small_spec: GraphSpec) -> None:
        found = described(small_artifact.path)
        assert found.card == small_spec.card
        assert found.labels == small_spec.card.labels == ("Füchse, rot", "木")
        assert (found.inputs, found.outputs) == ((small_spec.input,), (small_spec.output,))

    def test_tells_what_the_delegate_takes_and_what_stays_outside(
        self, segmented: Callable[..., Exported]
    ) -> None:
        details = described(segmented("executorch", argmax=True).path).details
        assert details["delegates"] == "1 XnnpackBackend"
        assert details["operators outside"] == "2 dim_order_ops::_to_dim_order_copy.out, 1 aten::argmax.out"
        assert details["methods"] == f"forward, get_task, get_labels, get_preprocessing, {CARD_KEY}"

    def test_needs_neither_torch_nor_the_runtime(self, small_artifact: Artifact) -> None:
        script = (
            "import sys; from pathlib import Path; from mobilevit_deploy.target import get_target\n"
            "assert get_target('executorch').describe(Path(sys.argv[1])).card\n"
            "assert not {'torch', 'executorch'} & set(sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(small_artifact.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_does_not_disturb_a_session_with_another_number_of_threads(
        self, small_artifact: Artifact
    ) -> None:
        session = get_target("executorch").open_session(small_artifact, threads=2)
        assert described(small_artifact.path).card
        session.run(torch.zeros(1, 3, 4, 4).numpy())
        session.close()


class TestConventions:
    """What an app reads: ExecuTorch's runtime gives it by ``Module::execute``."""

    def test_runtime_gives_labels_and_preprocessing_as_strings(
        self, small_artifact: Artifact, small_spec: GraphSpec
    ) -> None:
        assert execute(small_artifact.path, "get_labels") == ['["Füchse, rot", "木"]']
        assert execute(small_artifact.path, "get_task") == ["image-classification"]
        (preprocessing,) = execute(small_artifact.path, "get_preprocessing")
        assert PreprocessSpec.model_validate_json(preprocessing) == small_spec.card.preprocessing
        (whole,) = execute(small_artifact.path, CARD_KEY)
        assert json.loads(whole)["model"] == "small"

    def test_thousand_labels_as_imagenet_has(
        self, small_spec: GraphSpec, reference: Reference, tmp_path: Path
    ) -> None:
        labels = tuple(f"class {number}, ö" for number in range(1000))
        spec = GraphSpec(
            small_spec.input,
            TensorSpec(name="logits", shape=(1, 48), dtype="float32", layout="NC"),
            card(reference.preprocess, labels),
        )
        graph = nn.Sequential(nn.SiLU(), nn.Flatten())
        made = get_target("executorch").export(
            graph, spec, ExportOptions(Precision.FP32), tmp_path / "many.pte"
        )
        (given,) = execute(made.path, "get_labels")
        assert tuple(json.loads(given)) == labels == described(made.path).labels
        assert made.path.stat().st_size < 40_000


def execute(pte: Path, method: str) -> list[Any]:
    from executorch.extension.pybindings import _portable_lib as runtime

    given: list[Any] = runtime._load_program(str(pte)).load_method(method)([])
    return given


class TestFileOfAnotherProgram:
    def test_is_described_as_far_as_it_tells(self, small_graph: nn.Module, tmp_path: Path) -> None:
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(small_graph, (torch.zeros(1, 3, 4, 4),))
        path = tmp_path / "other.pte"
        path.write_bytes(to_edge_transform_and_lower(exported).to_executorch().buffer)
        found = described(path)
        assert (found.card, found.labels) == (None, None)
        assert found.inputs == (TensorSpec(name="input0", shape=(1, 3, 4, 4), dtype="float32", layout=""),)
        assert found.outputs == (TensorSpec(name="output0", shape=(1, 2), dtype="float32", layout=""),)
        assert found.details["delegates"] == "none"
        assert "aten::convolution.out" in found.details["operators outside"]


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [b"", b"ET12", b"\x89PNG\r\n\x1a\n" * 100, b"Dear all,\nplease find attached\n"],
        ids=["empty", "four bytes", "picture", "text"],
    )
    def test_what_is_no_executorch_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "holiday.pte"
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"holiday\.pte is no ExecuTorch program"):
            described(path)

    def test_file_that_was_cut_off(self, small_artifact: Artifact, tmp_path: Path) -> None:
        content = small_artifact.path.read_bytes()
        path = tmp_path / "cut.pte"
        for end in [*range(0, len(content), 97), len(content) - 1]:
            path.write_bytes(content[:end])
            with pytest.raises(ArtifactError, match=r"cut\.pte"):
                described(path)

    def test_no_flipped_bit_escapes_as_another_error(self, small_artifact: Artifact, tmp_path: Path) -> None:
        content = small_artifact.path.read_bytes()
        path = tmp_path / "flipped.pte"
        chance = random.Random(0)
        refused = 0
        for _ in range(300):
            changed = bytearray(content)
            changed[chance.randrange(8, len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            try:
                described(path)
            except ArtifactError:
                refused += 1
        assert refused

    def test_folder_and_missing_file(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "absent.pte"):
            with pytest.raises(ArtifactError, match="cannot be read"):
                described(path)

    def test_program_without_the_method(self, small_artifact: Artifact, tmp_path: Path) -> None:
        path = tmp_path / "other.pte"
        path.write_bytes(small_artifact.path.read_bytes().replace(b"forward", b"nothing"))
        with pytest.raises(ArtifactError, match="has no method 'forward', only nothing"):
            described(path)

    def test_card_that_is_none(self, small_artifact: Artifact, tmp_path: Path) -> None:
        path = tmp_path / "card.pte"
        path.write_bytes(small_artifact.path.read_bytes().replace(b'{"producer"', b'{"producre"'))
        with pytest.raises(ArtifactError, match=r"card in .*card\.pte is damaged at producer"):
            described(path)
