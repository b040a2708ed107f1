"""Which operator of a .pte file runs where: that was decided when it was exported, and stands in the file."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import files as files_of
from pathlib import Path

from mobilevit_deploy.dataflow import Node
from mobilevit_deploy.inspection import Delegation, Inspection, Rule, finding, summary

from .graph import Graph, read_graph

_CONFIGS = "https://github.com/pytorch/executorch/tree/main/backends/xnnpack/partition/config"
_TYPES = {"float32", "float16", "int8"}
_REWRITES = (
    "Write it with operators that have one; mobilevit_deploy.model.rewrite does so for LayerNorm, for "
    "attention and for pooling."
)


def inspect_program(path: Path) -> Inspection:
    """Count the operators of the method ``forward``, and say which of them XNNPACK runs.

    Raises:
        ArtifactError: it is no ExecuTorch program, a damaged one, or has no method ``forward``.
    """
    graph = read_graph(path)
    flow = graph.flow
    stored = {name for node in flow.nodes for name in node.inputs if flow.values[name].constant}
    parameters = sum(flow.values[name].elements for name in stored)
    notes = [
        f"What {backend} computes is not read: each of its calls counts as one operator."
        for backend in sorted(graph.other_backends)
    ]
    return summary(flow, parameters, [_xnnpack(graph)], *notes)


def _xnnpack(graph: Graph) -> Delegation:
    flow = graph.flow
    left: dict[Rule, list[Node]] = {}
    rules = _rules()
    for node in flow.nodes:
        if node.name not in graph.delegated:
            reason = next(rule for rule in rules if rule.broken(node, flow))
            left.setdefault(reason, []).append(node)
    return Delegation(
        accelerator="xnnpack",
        told_by="the file itself",
        taken=len(graph.delegated),
        total=len(flow.nodes),
        partitions=graph.calls,
        findings=tuple(finding(flow, rule, nodes) for rule, nodes in left.items()),
    )


def _rules() -> tuple[Rule, ...]:
    """Why the partitioner may have left an operator, which no file says; the first that holds is told."""
    known = _partitioned()
    return (
        Rule(
            "The partitioner for XNNPACK has an entry for the operator.",
            _CONFIGS,
            _REWRITES,
            lambda node, _: node.kind.split("::")[-1].split(".")[0] not in known,
        ),
        Rule(
            "Tensors are float32 or float16, or quantised to 8 bits.",
            _CONFIGS,
            "Feed float32 (export with --input tensor), or keep other types to the ends of the graph: each "
            "change of hands in its middle costs copies.",
            lambda node, flow: any(value.dtype not in _TYPES for value in flow.activations(node)),
        ),
        Rule(
            "The operator keeps the conditions of its kind: constant weights, fixed sizes, certain axes.",
            _CONFIGS,
            "Look up its kind's check_constraints there, and write it so that they hold.",
            lambda *_: True,
        ),
    )


@cache
def _partitioned() -> set[str]:
    """Names of the operators for which the installed partitioner has an entry.

    Read from its source, once: importing it takes 5 s of processor time.
    """
    files = [file for file in files_of("executorch") or [] if "xnnpack/partition/config/" in str(file)]
    named = (
        re.findall(r'target_name = "([^".]+)', file.read_text()) for file in files if file.suffix == ".py"
    )
    return {name for names in named for name in names}
