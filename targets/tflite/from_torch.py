"""The converter litert-torch: from torch's exported program, by way of StableHLO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from mobilevit_deploy.conversion import conversion

if TYPE_CHECKING:
    from mobilevit_deploy.target import GraphSpec


def convert(graph: nn.Module, spec: GraphSpec) -> bytes:
    """The content of a .tflite file, feature maps in NHWC.

    Raises:
        ExportError: litert-torch refused the graph.
    """
    example = spec.example()
    if spec.input.layout == "NCHW":
        example = example.permute(0, 2, 3, 1).contiguous()
    with conversion("litert-torch could not convert the graph"):
        import litert_torch  # here, since importing it warns

        litert_torch.config.show_progress = False
        channels_last = _ChannelsLast(graph, spec.input.layout, spec.output.layout).eval()
        return bytes(litert_torch.convert(channels_last, (example,)).model_content())


class _ChannelsLast(nn.Module):
    """Takes and gives NHWC where the graph has NCHW.

    LiteRT's convolutions read NHWC, and a picture is stored so; the converter then cancels this permutation
    against the one before the first convolution.
    """

    def __init__(self, graph: nn.Module, given: str, wanted: str) -> None:
        super().__init__()
        self.model = graph  # torch's own GraphModule, which this becomes, keeps something else in `graph`
        self.given, self.wanted = given, wanted

    def forward(self, tensor: Tensor) -> Tensor:
        """What the file takes -> what it gives."""
        result: Tensor = self.model(tensor.permute(0, 3, 1, 2) if self.given == "NCHW" else tensor)
        return result.permute(0, 2, 3, 1) if self.wanted == "NCHW" else result
