"""Which operator of an .onnx file runs where: on the CPU, and on what phones have besides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnxruntime

from mobilevit_deploy.dataflow import Dataflow
from mobilevit_deploy.errors import first_line
from mobilevit_deploy.inspection import Delegation, Inspection, Rule, judge, summary

from .file import read_model
from .graph import dataflow, stored_parameters
from .providers import PROVIDERS, delegations, offered

_CPU = "cpu"
_NNAPI_IS_DEPRECATED = (
    "Android 15 deprecated NNAPI: https://developer.android.com/ndk/guides/neuralnetworks/migration-guide"
)


def inspect_model(path: Path) -> Inspection:
    """Count the main graph of a file, and ask ONNX Runtime what its execution providers take of it.

    Raises:
        ArtifactError: it is no ONNX model, or a damaged one.
    """
    model = read_model(path)
    flow = dataflow(model)
    notes = [_NNAPI_IS_DEPRECATED]
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        notes.append("What lies in branches and loops is not counted.")
    return summary(flow, stored_parameters(flow), _delegations(path, flow), *notes)


def _delegations(path: Path, flow: Dataflow) -> Iterator[Delegation]:
    told_by = f"onnxruntime {onnxruntime.__version__} itself"
    try:
        graph = offered(path)
    except Exception as error:  # ONNX Runtime's errors share no class but this
        rule = _unloadable(error)
        for accelerator in (_CPU, *PROVIDERS):
            yield judge(accelerator, flow, [rule], told_by=told_by)
        return
    yield judge(_CPU, flow, [], told_by=told_by)  # it loads a file only if it has a kernel for each operator
    yield from delegations(graph)


def _unloadable(error: Exception) -> Rule:
    return Rule(
        f"ONNX Runtime can load the file. Here it said: {first_line(error)}.",
        "https://onnxruntime.ai/docs/reference/operators/",
        "Export with ONNX's own operators, and keep weights that lie in files of their own beside the model.",
        lambda *_: True,
    )
