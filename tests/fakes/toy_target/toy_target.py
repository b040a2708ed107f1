"""A third party's target: the whole protocol, for torch's own ``.pt2`` files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.artifact import Artifact, TensorSpec
from mobilevit_deploy.dataflow import Dataflow, Node, Value
from mobilevit_deploy.description import CARD_KEY, Card, Description
from mobilevit_deploy.errors import ArtifactError, SessionError
from mobilevit_deploy.inspection import Inspection, Rule, judge, summary
from mobilevit_deploy.parity import tolerance
from mobilevit_deploy.quantize import Precision, inside
from mobilevit_deploy.target import Availability, ExportOptions, GraphSpec

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


class ToyTarget:
    """Saves the graph that ``torch.export`` captures; its runtime is torch itself."""

    name = "toy"
    suffix = ".pt2"
    extra = ""
    libraries = ("torch",)
    converters = ("torch.export",)
    precisions = {  # noqa: RUF012 - as third parties will write it
        Precision.FP32: tolerance.FP32,
        Precision.INT8: tolerance.Tolerance(min_sqnr_db=3.0, min_top1=0.7, min_pixels=0.7),
    }
    bits = 8

    def availability(self) -> Availability:
        return Availability(usable=True, engine="torch")

    def rewrites(self, options: ExportOptions) -> tuple[str, ...]:  # noqa: ARG002
        return ()

    def export(self, graph: torch.nn.Module, spec: GraphSpec, options: ExportOptions, out: Path) -> Artifact:
        import torch

        if options.precision == Precision.INT8:
            round_weights(graph, self.bits, options.float_modules)
        notes = {CARD_KEY: spec.card.model_dump_json(), "tensors": _dumped(spec)}
        torch.export.save(torch.export.export(graph, (spec.example(),)), out, extra_files=notes)
        return Artifact(out, self.name, options.precision, (spec.input,), (spec.output,))

    def open_session(self, artifact: Artifact, *, threads: int = 1) -> ToySession:
        return ToySession(artifact, threads)

    def describe(self, path: Path) -> Description:
        notes = {CARD_KEY: "", "tensors": ""}
        _load(path, notes)
        tensors = [TensorSpec.model_validate(tensor) for tensor in json.loads(notes["tensors"])]
        return Description((tensors[0],), (tensors[1],), Card.model_validate_json(notes[CARD_KEY]))

    def inspect(self, path: Path) -> Inspection:
        program = _load(path)
        values = _values(program)
        steps = tuple(
            Node(str(node.target), node.name, tuple(arg.name for arg in node.all_input_nodes), (node.name,))
            for node in program.graph.nodes
            if node.op == "call_function" and node.name in values
        )
        flow = Dataflow(steps, values, tuple(program.graph_signature.user_outputs))
        stored = sum(tensor.numel() for tensor in program.state_dict.values())
        return summary(flow, stored, [judge("torch", flow, [_NO_CASTS], told_by="torch itself")])


_NO_CASTS = Rule(
    "Numbers keep their type.",
    "https://docs.pytorch.org/docs/stable/export.html",
    "Feed float32.",
    lambda node, _: node.kind.startswith("aten.to."),
)
"""A rule that is broken by the graph that takes a picture, and by none that takes a tensor."""


def _load(path: Path, notes: dict[str, str] | None = None) -> Any:
    import torch

    try:
        return torch.export.load(path, extra_files=notes)
    except Exception as error:
        raise ArtifactError(f"torch cannot load {path}: {error}.", remedy="Export it again.") from error


def _values(program: Any) -> dict[str, Value]:
    """Of the nodes that give a tensor; the others only check something."""
    import torch

    signature = program.graph_signature
    constants = {*signature.inputs_to_parameters, *signature.inputs_to_buffers}
    constants |= {*signature.inputs_to_lifted_tensor_constants}
    return {
        node.name: Value(
            tuple(node.meta["val"].shape),
            str(node.meta["val"].dtype).removeprefix("torch."),
            constant=node.name in constants,
        )
        for node in program.graph.nodes
        if isinstance(node.meta.get("val"), torch.Tensor)
    }


def round_weights(graph: torch.nn.Module, bits: int, float_modules: Sequence[str]) -> None:
    """Leave as many levels to the weights as ``bits`` have, one scale a tensor."""
    import torch

    for path, module in graph.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)) and not inside(path, float_modules):
            step = module.weight.abs().max() / (2 ** (bits - 1) - 1)
            module.weight.data = (module.weight / step).round() * step


def _dumped(spec: GraphSpec) -> str:
    return json.dumps([tensor.model_dump() for tensor in (spec.input, spec.output)])


class ToySession:
    """A ``.pt2`` file, loaded by torch."""

    measurable = True

    def __init__(self, artifact: Artifact, threads: int) -> None:
        import torch

        self.engine = f"torch {torch.__version__}"
        self._inputs = artifact.inputs
        torch.set_num_threads(threads)
        try:
            self._graph = torch.export.load(artifact.path).module()
        except Exception as error:
            raise SessionError(
                f"torch cannot load {artifact.path}: {error}.", remedy="Export it again."
            ) from error

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        import torch

        for array, spec in zip(inputs, self._inputs, strict=True):
            if (array.shape, str(array.dtype)) != (spec.shape, spec.dtype):
                raise SessionError(
                    f"{spec.name} is {array.dtype}{list(array.shape)}, not {spec.dtype}{list(spec.shape)}.",
                    remedy="Feed the file as its manifest says.",
                )
        with torch.inference_mode():
            return (self._graph(*map(torch.from_numpy, inputs)).numpy(),)

    def close(self) -> None:
        del self._graph
