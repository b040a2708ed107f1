"""Which operator runs where: one body over every target, and its counts against torch's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from conftest import require
from mobilevit_deploy.artifact import digest
from mobilevit_deploy.dataflow import Dataflow, Node, Value
from mobilevit_deploy.errors import ArtifactError, UsageError
from mobilevit_deploy.inspection import Inspection, Rule, inspect, judge, summary
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.reference import Reference
from mobilevit_deploy.target import Input, get_target, target_names

BUILT_IN = ["coreml", "executorch", "onnx", "tflite"]

every_target = pytest.mark.parametrize("target", target_names())
built_in = pytest.mark.parametrize("target", BUILT_IN)
Export = Callable[..., Exported]
_REWRITTEN = 0.01
"""Share by which rewrites may add to the count: ExecuTorch's LayerNorm is two matrix products."""


@cache
def counted(model: torch.nn.Module, side: int) -> int:
    """Multiply-adds by torch: it counts two operations for each."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, side, side))
    return counter.get_total_flops() // 2


@every_target
class TestEveryTarget:
    def test_counts_what_is_there(self, exported: Export, target: str) -> None:
        path = exported(target).path
        before = digest(path)
        found = get_target(target).inspect(path)
        assert sum(found.operators.values()) >= 100
        assert found.parameters == pytest.approx(952_000, rel=0.01)
        # The picture as floats is the least that is held; the largest map of the model is not much more.
        assert 96 * 96 * 3 * 4 / 2 <= found.peak_activation_bytes < 3_000_000
        assert digest(path) == before

    def test_every_finding_tells_rule_source_and_remedy(self, exported: Export, target: str) -> None:
        found = get_target(target).inspect(exported(target).path)
        assert found.delegations
        for delegation in found.delegations:
            assert delegation.told_by
            assert 0 <= delegation.taken <= delegation.total
            assert (delegation.partitions == 0) == (delegation.taken == 0)
            refused = {
                operator.name
                for finding in delegation.findings
                if finding.refused
                for operator in finding.operators
            }
            assert len(refused) == delegation.total - delegation.taken
            for finding in delegation.findings:
                assert finding.rule.endswith(".")
                assert finding.source.startswith("https://")
                assert finding.remedy
                assert all(" -> " in operator.tensors for operator in finding.operators)

    def test_file_of_another_kind(self, target: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        require(target)
        path = tmp_path_factory.mktemp("other") / f"holiday{get_target(target).suffix}"
        path.write_bytes(b"\x89PNG\r\n" + bytes(100))
        with pytest.raises(ArtifactError, match="holiday"):
            inspect(path)


@built_in
def test_multiply_adds_are_those_that_torch_counts(
    exported: Export, reference: Reference, target: str
) -> None:
    found = get_target(target).inspect(exported(target).path)
    expected = counted(reference.model, reference.image_size[0])
    assert expected <= found.multiply_adds <= expected * (1 + _REWRITTEN)


@pytest.mark.parametrize(
    ("target", "accelerator"),
    [("executorch", "xnnpack"), ("onnx", "cpu"), ("onnx", "coreml-mlprogram"), ("tflite", "xnnpack")],
)
def test_tensor_input_leaves_nothing_outside(exported: Export, target: str, accelerator: str) -> None:
    found = get_target(target).inspect(exported(target, input=Input.TENSOR).path).only(accelerator)
    assert found.full, found.delegations[0].findings
    assert found.delegations[0].partitions == 1


@pytest.mark.parametrize(
    ("target", "accelerator"),
    [
        ("executorch", "xnnpack"),
        ("onnx", "coreml-mlprogram"),
        ("tflite", "xnnpack"),
        ("tflite", "tflite-gpu"),
    ],
)
def test_picture_input_leaves_its_conversion_outside(exported: Export, target: str, accelerator: str) -> None:
    found = get_target(target).inspect(exported(target).path).only(accelerator)
    (delegation,) = found.delegations
    (finding,) = (finding for finding in delegation.findings if finding.refused)
    assert "uint8[1, 96, 96, 3] -> float32[1, 96, 96, 3]" in finding.operators[0].tensors
    assert (delegation.total - delegation.taken, delegation.partitions) == (1, 1)
    assert not found.full


@built_in
def test_segmentation(segmented: Export, segmenter: Reference, target: str) -> None:
    found = get_target(target).inspect(segmented(target).path)
    # DeepLab's pooled branch is one pixel; the rewrite adds it to the others, and saves a part of a product.
    assert found.multiply_adds == pytest.approx(counted(segmenter.model, segmenter.image_size[0]), rel=0.03)


class TestJudging:
    FLOW = Dataflow(
        (
            Node("good", "1", ("a",), ("b",)),
            Node("bad", "2", ("b",), ("c",)),
            Node("good", "3", ("c",), ("d",)),
        ),
        dict.fromkeys("abcd", Value((1, 8), "float32")),
        ("d",),
    )
    REFUSES = Rule("No bad ones.", "https://a", "Be good.", lambda node, _: node.kind == "bad")
    WARNS = Rule("None at all.", "https://b", "Mind it.", lambda *_: True, refused=False)

    def judged(self, *rules: Rule) -> Inspection:
        return summary(self.FLOW, 0, [judge("chip", self.FLOW, rules, told_by="its maker")])

    def test_refused_operators_split_the_rest(self) -> None:
        (found,) = self.judged(self.REFUSES).delegations
        assert (found.taken, found.total, found.partitions, found.full) == (2, 3, 2, False)

    def test_warnings_refuse_nothing_and_come_last(self) -> None:
        (found,) = self.judged(self.WARNS).delegations
        assert found.full
        (found,) = self.judged(self.WARNS, self.REFUSES).delegations
        assert [finding.rule for finding in found.findings] == ["No bad ones.", "None at all."]
        assert [len(finding.operators) for finding in found.findings] == [1, 3]

    def test_one_accelerator_alone(self) -> None:
        found = self.judged(self.REFUSES)
        assert found.only("chip") == found
        with pytest.raises(UsageError, match="'gpu' is no accelerator") as caught:
            found.only("gpu")
        assert "chip" in caught.value.remedy
