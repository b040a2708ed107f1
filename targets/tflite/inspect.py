"""Which operator of a .tflite file runs where: XNNPACK as the runtime says, the GPU delegate by its rules."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from mobilevit_deploy.dataflow import Dataflow, Node
from mobilevit_deploy.errors import first_line
from mobilevit_deploy.inspection import Delegation, Inspection, Rule, finding, judge, summary

from .file import damage_refused, read_model
from .gpu import RULES
from .graph import dataflow, stored_parameters

_XNNPACK = "xnnpack"
_GPU = "tflite-gpu"
_CONDITIONS = "https://github.com/google-ai-edge/LiteRT/blob/main/tflite/delegates/xnnpack/README.md"

_REASONS = (
    Rule(
        "Numbers keep their type: there is no CAST.",
        _CONDITIONS,
        "Feed float32 (export with --input tensor), or leave the conversion of the picture to LiteRT.",
        lambda node, _: node.kind == "CAST",
    ),
    Rule(
        "Sizes are fixed before the graph runs.",
        _CONDITIONS,
        "Export with fixed sizes.",
        lambda node, flow: not all(flow.values[name].fixed for name in (*node.inputs, *node.outputs)),
    ),
    Rule(
        "Tensors are float32, or quantised to 8 bits.",
        _CONDITIONS,
        "Keep other types to the ends of the graph: each change of hands in its middle costs copies.",
        lambda node, flow: any(
            value.dtype not in {"float32", "int8", "uint8"} for value in flow.activations(node)
        ),
    ),
    Rule(
        "The operator is of a kind that XNNPACK has, and keeps the conditions that are listed for it.",
        _CONDITIONS,
        "Look its kind up there, and write it with operators that are listed.",
        lambda *_: True,
    ),
)
"""Why XNNPACK may have left an operator, which the runtime does not say; the first that holds is told."""


def inspect_tflite(path: Path) -> Inspection:
    """Count the main subgraph of a file, and say what its accelerators take of it.

    Raises:
        ArtifactError: the file is truncated or damaged, or no .tflite file.
    """
    content, model = read_model(path)
    with damage_refused(path):
        flow = dataflow(model)
    notes = []
    if len(model.subgraphs) > 1:
        notes.append(f"Of {len(model.subgraphs)} subgraphs, the first one alone is counted.")
    delegations = (_xnnpack(content, flow), judge(_GPU, flow, RULES, told_by="LiteRT's published rules"))
    return summary(flow, stored_parameters(flow), delegations, *notes)


def _xnnpack(content: bytes, flow: Dataflow) -> Delegation:
    told_by = f"LiteRT {version('ai-edge-litert')} itself"
    try:
        pieces = _pieces(content, flow)
    except (RuntimeError, ValueError) as error:  # such as a file that needs TensorFlow's own operators
        unprepared = Rule(
            f"LiteRT can prepare the file. Here it said: {first_line(error)}.",
            "https://ai.google.dev/edge/litert/models/ops_select",
            "Export without operators from outside of LiteRT.",
            lambda *_: True,
        )
        return judge(_XNNPACK, flow, [unprepared], told_by=told_by)
    taken = set().union(*pieces)
    left: dict[Rule, list[Node]] = {}
    for place, node in enumerate(flow.nodes):
        if place not in taken:
            reason = next(rule for rule in _REASONS if rule.broken(node, flow))
            left.setdefault(reason, []).append(node)
    return Delegation(
        accelerator=_XNNPACK,
        told_by=told_by,
        taken=len(taken),
        total=len(flow.nodes),
        partitions=len(pieces),
        findings=tuple(finding(flow, rule, nodes) for rule, nodes in left.items()),
    )


def _pieces(content: bytes, flow: Dataflow) -> list[set[int]]:
    """The places of the nodes that each delegate call stands for.

    Once tensors are allocated, the runtime lists delegate calls after the file's own operators, which it
    lists still. A call stands for whatever leads from its inputs to its outputs.
    """
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    calls = interpreter._get_ops_details()[len(flow.nodes) :]  # there is no public way
    writers = {name: place for place, node in enumerate(flow.nodes) for name in node.outputs}
    pieces = []
    for call in calls:
        given = {f"T#{number}" for number in call["inputs"]}
        wanted = [f"T#{number}" for number in call["outputs"]]
        piece: set[int] = set()
        while wanted:
            name = wanted.pop()
            place = writers.get(name)
            if name not in given and place is not None and place not in piece:
                piece.add(place)
                wanted += flow.nodes[place].inputs
        pieces.append(piece)
    return pieces
