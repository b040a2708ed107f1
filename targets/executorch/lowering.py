"""From an exported graph to an ExecuTorch program, in as few passes as the graph needs.

Lowering goes through the nodes of a graph again and again, and each time traces them anew: some 3 ms a node.
ExecuTorch's one-call recipe (``to_edge_transform_and_lower``) makes 80 such passes. Most look for what this
project's graphs do not have (BatchNorm, PReLU, 1-D convolutions), or verify what the parity check proves.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack._passes import XNNPACKPassManager, XNNPACKRemoveCloneOpsTransform
from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import (
    ChannelsLastTaggedReshapePass,
)
from executorch.backends.xnnpack._passes.fuse_activation_pass import FuseActivationPass
from executorch.backends.xnnpack._passes.remove_redundant_copy_pass import RemoveRedundantCopyPass
from executorch.backends.xnnpack.operators import node_visitor
from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.generic_node_configs import SigmoidConfig
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, ExecutorchProgramManager, to_edge
from executorch.exir.verification.verifier import EXIREdgeDialectVerifier
from torch.fx import traceback

aten = torch.ops.aten

_WHOLE = [aten.linear.default, aten.upsample_bilinear2d.vec]
"""What XNNPACK has as one operator, and PyTorch would take apart."""

_PASSES = [
    XNNPACKRemoveCloneOpsTransform,
    FuseActivationPass,
    ChannelsLastTaggedReshapePass,
    RemoveRedundantCopyPass,
]
"""Of XNNPACK's 17 passes, those that find something to do: ReLU joins its convolution, maps become NHWC."""

_SHORT_NAMES = SimpleNamespace(sha256=functools.partial(hashlib.blake2b, digest_size=8))
"""Each of the 350 weights is named, twice, by the digest of its content. 64 bits tell them apart."""

_ALIGNMENT = 16
"""Bytes, of each weight in the file: XNNPACK needs no more. ExecuTorch's 128 would pad 350 weights."""


def lower(exported: torch.export.ExportedProgram, constants: Mapping[str, Any]) -> ExecutorchProgramManager:
    """Lower a graph to XNNPACK. What that does not take stays, for ExecuTorch's portable (slow) operators.

    Args:
        exported: the graph.
        constants: methods of the program that take nothing, and what each gives.
    """
    config = EdgeCompileConfig(_check_ir_validity=False, preserve_ops=_WHOLE)
    with (
        _replaced(xnnpack_preprocess, "XNNPACKPassManager", _pass_manager),
        _replaced(traceback, "NodeSource", _LastSource),
        _replaced(node_visitor, "hashlib", _SHORT_NAMES),
    ):
        edge = to_edge(exported, constant_methods=dict(constants), compile_config=config)
        left = edge.to_backend(XnnpackPartitioner(configs=_OPERATORS))
        # Of what is left for the portable operators, which are not all there are.
        EXIREdgeDialectVerifier(class_only=True)()(left.exported_program().graph_module)
        return left.to_executorch(ExecutorchBackendConfig(segment_alignment=_ALIGNMENT))


class Sigmoid(SigmoidConfig):  # type: ignore[misc]  # ExecuTorch has no types
    """A sigmoid, in 8 bits a table; ExecuTorch offers XNNPACK's alone in float."""

    def supported_precision_types(self) -> list[Any]:
        """Of ``ConfigPrecisionType``."""
        return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]


_OPERATORS = [Sigmoid if kind is SigmoidConfig else kind for kind in ALL_PARTITIONER_CONFIGS]


def _pass_manager(exported: Any, passes: Any = None) -> XNNPACKPassManager:
    return XNNPACKPassManager(exported, passes=passes or _PASSES)


class _LastSource(traceback.NodeSource):
    """Of a node's history, the last step. Each pass copies all that it finds: a sixth of the time."""

    def __init__(self, node: Any, pass_name: str = "", action: Any = None) -> None:
        super().__init__(None, pass_name, action)
        if node is not None:
            self.node_info = self.NodeInfo(node.name, str(node.target), id(node.graph))


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
