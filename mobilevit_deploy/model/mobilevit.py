"""MobileViT (Mehta and Rastegari, 2021, arXiv 2110.02178) in plain PyTorch: the definition of right.

Modules carry the names of Hugging Face's checkpoints (``conv_stem.convolution.weight``), so that these load
as they are. Nothing here is written for speed on a phone; that is the work of ``rewrite.py``.

Shape letters: b batch, c channels, h and w height and width of a feature map, p side of a patch, n patches in
a map (h/p * w/p), d hidden size of a transformer, k heads, e = d/k size of a head.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.model.checkpoint import Checkpoint, save_checkpoint
from mobilevit_deploy.model.config import MobileViTConfig
from mobilevit_deploy.model.outputs import BackboneOutput, ImageClassifierOutput

# Transformer layers in the third, fourth and fifth stage: the same in every published size.
TRANSFORMER_DEPTHS = (2, 4, 3)

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
}


def make_divisible(channels: float, *, divisor: int = 8) -> int:
    """Rounds to the nearest multiple of ``divisor``, never losing more than a tenth (MobileNetV2's rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class ConvLayer(nn.Module):
    """Convolution that keeps a map's size (over its stride), then BatchNorm and activation if wanted."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        normalize: bool = True,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=(kernel_size - 1) // 2 * dilation,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        self.normalization = nn.BatchNorm2d(out_channels) if normalize else None
        self.activation = _ACTIVATIONS[activation]() if activation else None

    def forward(self, features: Tensor) -> Tensor:
        """[b, in_channels, h, w] -> [b, out_channels, h/stride, w/stride], rounded up."""
        features = self.convolution(features)
        if self.normalization is not None:
            features = self.normalization(features)
        if self.activation is not None:
            features = self.activation(features)
        return features


class InvertedResidual(nn.Module):
    """MobileNetV2's block (arXiv 1801.04381): widen, convolve each channel on its own, narrow."""

    def __init__(
        self, config: MobileViTConfig, *, in_channels: int, out_channels: int, stride: int, dilation: int = 1
    ) -> None:
        super().__init__()
        expanded = make_divisible(round(in_channels * config.expand_ratio))
        self.use_residual = stride == 1 and in_channels == out_channels
        self.expand_1x1 = ConvLayer(
            in_channels=in_channels, out_channels=expanded, activation=config.hidden_act
        )
        self.conv_3x3 = ConvLayer(
            in_channels=expanded,
            out_channels=expanded,
            kernel_size=3,
            stride=stride,
            dilation=dilation,
            groups=expanded,
            activation=config.hidden_act,
        )
        self.reduce_1x1 = ConvLayer(in_channels=expanded, out_channels=out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """[b, in_channels, h, w] -> [b, out_channels, h/stride, w/stride], rounded up."""
        narrowed: Tensor = self.reduce_1x1(self.conv_3x3(self.expand_1x1(features)))
        return features + narrowed if self.use_residual else narrowed


class Stack(nn.Module):
    """Layers one after the other, under the name ``layer`` that checkpoints give them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)

    def forward(self, features: Tensor) -> Tensor:
        """Whatever the first layer takes -> what the last one gives."""
        for layer in self.layer:
            features = layer(features)
        return features


class SelfAttention(nn.Module):
    """Multi-head attention of every position to every position of its sequence."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.head_size = hidden_size // self.num_heads
        self.query = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)
        self.key = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)
        self.value = nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        query, key, value = (self._heads(layer(tokens)) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / math.sqrt(self.head_size)  # [b, k, n, n]
        mixed: Tensor = self.dropout(scores.softmax(dim=-1)) @ value  # [b, k, n, e]
        return mixed.transpose(1, 2).flatten(2)  # [b, n, d]

    def _heads(self, tokens: Tensor) -> Tensor:
        b, n, _ = tokens.shape
        return tokens.reshape(b, n, self.num_heads, self.head_size).transpose(1, 2)  # [b, k, n, e]


class Projection(nn.Module):
    """A linear layer and dropout: the end of a branch, before it is added to what it branched from."""

    def __init__(self, *, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, out_features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        projected: Tensor = self.dropout(self.dense(tokens))
        return projected


class Attention(nn.Module):
    """Self-attention and its output projection."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        self.attention = SelfAttention(config, hidden_size=hidden_size)
        self.output = Projection(
            in_features=hidden_size, out_features=hidden_size, dropout=config.hidden_dropout_prob
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        attended: Tensor = self.output(self.attention(tokens))
        return attended


class Intermediate(nn.Module):
    """The widening half of a transformer layer's MLP."""

    def __init__(self, *, in_features: int, out_features: int, activation: str) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, out_features)
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        widened: Tensor = self.activation(self.dense(tokens))
        return widened


class TransformerLayer(nn.Module):
    """Pre-norm transformer layer: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: MobileViTConfig, *, hidden_size: int) -> None:
        super().__init__()
        mlp_size = int(hidden_size * config.mlp_ratio)
        self.attention = Attention(config, hidden_size=hidden_size)
        self.intermediate = Intermediate(
            in_features=hidden_size, out_features=mlp_size, activation=config.hidden_act
        )
        self.output = Projection(
            in_features=mlp_size, out_features=hidden_size, dropout=config.hidden_dropout_prob
        )
        self.layernorm_before = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        tokens = tokens + self.attention(self.layernorm_before(tokens))
        change: Tensor = self.output(self.intermediate(self.layernorm_after(tokens)))
        return tokens + change


class MobileViTBlock(nn.Module):
    """The paper's block (section 3.1): halve the map, then fuse it with a transformer's view of all of it.

    The i-th cells of all patches form one sequence: a transformer relates cells at the same place of every
    patch, and the convolutions before it have already mixed the cells within a patch.

    Args:
        config: the architecture.
        in_channels: channels of the incoming map.
        out_channels: channels of the outgoing map.
        hidden_size: width of the transformer.
        depth: its number of layers.
        dilation: 1 halves the map; 2 and more keep its size and dilate the convolution by half of it, as the
            published model does for an output stride of 16 or 8.
    """

    def __init__(
        self,
        config: MobileViTConfig,
        *,
        in_channels: int,
        out_channels: int,
        hidden_size: int,
        depth: int,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.downsampling_layer = InvertedResidual(
            config,
            in_channels=in_channels,
            out_channels=out_channels,
            stride=2 if dilation == 1 else 1,
            dilation=max(dilation // 2, 1),
        )
        self.conv_kxk = ConvLayer(
            in_channels=out_channels,
            out_channels=out_channels,
            kernel_size=config.conv_kernel_size,
            activation=config.hidden_act,
        )
        self.conv_1x1 = ConvLayer(in_channels=out_channels, out_channels=hidden_size, normalize=False)
        self.transformer = Stack(*(TransformerLayer(config, hidden_size=hidden_size) for _ in range(depth)))
        self.layernorm = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.conv_projection = ConvLayer(
            in_channels=hidden_size, out_channels=out_channels, activation=config.hidden_act
        )
        self.fusion = ConvLayer(
            in_channels=2 * out_channels,
            out_channels=out_channels,
            kernel_size=config.conv_kernel_size,
            activation=config.hidden_act,
        )

    def forward(self, features: Tensor) -> Tensor:
        """[b, in_channels, h, w] -> [b, out_channels, h/2, w/2], rounded up; h and w stay if dilated."""
        features = self.downsampling_layer(features)
        local = self.conv_1x1(self.conv_kxk(features))
        projected = self.conv_projection(self._relate_patches(local))
        fused: Tensor = self.fusion(torch.cat((features, projected), dim=1))
        return fused

    def _relate_patches(self, local: Tensor) -> Tensor:
        height, width = local.shape[-2:]
        whole = (_round_up(height, self.patch_size), _round_up(width, self.patch_size))
        fits = whole == (height, width)
        # The published model stretches a map that patches do not tile, and shrinks it back afterwards.
        tiled = local if fits else _resize(local, whole)
        tokens = self.layernorm(self.transformer(unfold(tiled, patch_size=self.patch_size)))
        related = fold(tokens, patch_size=self.patch_size, height=whole[0], width=whole[1])
        return related if fits else _resize(related, (height, width))


def unfold(features: Tensor, *, patch_size: int) -> Tensor:
    """Feature map [b, d, h, w] -> sequences [b*p*p, n, d], one for each place within a patch."""
    b, d, h, w = features.shape
    p = patch_size
    cells = features.reshape(b * d, h // p, p, w // p, p)
    cells = cells.permute(0, 2, 4, 1, 3)  # [b*d, p, p, h/p, w/p]
    cells = cells.reshape(b, d, p * p, h // p * (w // p))  # [b, d, p*p, n]
    return cells.permute(0, 2, 3, 1).flatten(0, 1)  # [b*p*p, n, d]


def fold(tokens: Tensor, *, patch_size: int, height: int, width: int) -> Tensor:
    """Inverse of ``unfold``: sequences [b*p*p, n, d] -> feature map [b, d, height, width]."""
    p = patch_size
    _, n, d = tokens.shape
    cells = tokens.reshape(-1, p * p, n, d).permute(0, 3, 1, 2)  # [b, d, p*p, n]
    cells = cells.reshape(-1, p, p, height // p, width // p)  # [b*d, p, p, h/p, w/p]
    return cells.permute(0, 3, 1, 4, 2).reshape(-1, d, height, width)


def _round_up(size: int, multiple: int) -> int:
    return math.ceil(size / multiple) * multiple


def _resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """The five stages: two of convolutions, three of MobileViT blocks."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        stem, *widths, _ = config.neck_hidden_sizes
        self.layer = nn.ModuleList(
            [
                _mobilenet_stage(config, in_channels=stem, out_channels=widths[0], stride=1, depth=1),
                _mobilenet_stage(config, in_channels=widths[0], out_channels=widths[1], stride=2, depth=3),
                *(
                    MobileViTBlock(
                        config,
                        in_channels=widths[i + 1],
                        out_channels=widths[i + 2],
                        hidden_size=config.hidden_sizes[i],
                        depth=TRANSFORMER_DEPTHS[i],
                        dilation=dilation,
                    )
                    for i, dilation in enumerate(_dilations(config.output_stride))
                ),
            ]
        )

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Maps the stem's output to the output of every stage."""
        states = []
        for stage in self.layer:
            features = stage(features)
            states.append(features)
        return tuple(states)


def _mobilenet_stage(
    config: MobileViTConfig, *, in_channels: int, out_channels: int, stride: int, depth: int
) -> Stack:
    first = InvertedResidual(config, in_channels=in_channels, out_channels=out_channels, stride=stride)
    rest = (
        InvertedResidual(config, in_channels=out_channels, out_channels=out_channels, stride=1)
        for _ in range(depth - 1)
    )
    return Stack(first, *rest)


def _dilations(output_stride: int) -> tuple[int, int, int]:
    """Dilation of each MobileViT block: from where a stride is dropped, every block doubles it."""
    return {32: (1, 1, 1), 16: (1, 1, 2), 8: (1, 2, 4)}[output_stride]


class MobileViTPreTrainedModel(nn.Module):
    """What the models share: their config, loading and saving, and the check of their input."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: torch.dtype = torch.float32, **arguments: Any
    ) -> Self:
        """Loads a checkpoint in Hugging Face's layout, ready for inference (``eval()``).

        Args:
            source: a folder, a weights file with config.json beside it, or a hub id.
            dtype: to compute in, whatever the file stores.
            **arguments: the constructor's, such as ``expand_output``.

        Raises:
            CheckpointError: the checkpoint cannot be read, or does not fit its config or this class.
            HubError: the hub cannot be reached or has no such model.
        """
        checkpoint = Checkpoint.open(source)
        # On the meta device a config that does not fit its weights costs neither memory nor time.
        with torch.device("meta"):
            model = cls(checkpoint.config, **arguments)
        model.load_state_dict(checkpoint.tensors_for(model, dtype), assign=True)
        return model.eval()

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Writes config.json and model.safetensors, which transformers loads too; both or neither.

        Args:
            folder: where to; made if need be.
            dtype: to store the weights in; ``torch.float16`` halves the file. Unless given, as they are.

        Raises:
            CheckpointError: a weight is NaN or Inf, or does not fit into ``dtype``.
            OutputError: the folder cannot be written.
        """
        config = self.config.updated(architectures=(type(self).__name__,))
        save_checkpoint(Path(folder), config, self.state_dict(), dtype)

    def _check_pixels(self, pixel_values: Tensor) -> None:
        if not isinstance(pixel_values, Tensor):
            raise TypeError(f"pixel_values must be a torch tensor, not {type(pixel_values).__name__}.")
        expected = f"[batch, {self.config.num_channels}, height, width]"
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.config.num_channels:
            raise ValueError(f"pixel_values must be {expected}, not {list(pixel_values.shape)}.")
        if 0 in pixel_values.shape:
            raise ValueError(
                f"pixel_values must be {expected} with at least one pixel: {list(pixel_values.shape)}."
            )
        if not pixel_values.is_floating_point():
            raise ValueError(f"pixel_values must be floating point in 0..1, not {pixel_values.dtype}.")

    def _wants_hidden_states(self, asked: bool | None) -> bool:
        return self.config.output_hidden_states if asked is None else asked


class MobileViTModel(MobileViTPreTrainedModel):
    """The backbone.

    Args:
        config: the architecture.
        expand_output: whether a last 1x1 convolution widens the map, and its mean is the ``pooler_output``.
    """

    def __init__(self, config: MobileViTConfig, expand_output: bool = True) -> None:
        super().__init__(config)
        stem, *_, last, expanded = config.neck_hidden_sizes
        self.expand_output = expand_output
        self.conv_stem = ConvLayer(
            in_channels=config.num_channels,
            out_channels=stem,
            kernel_size=3,
            stride=2,
            activation=config.hidden_act,
        )
        self.encoder = Encoder(config)
        if expand_output:
            self.conv_1x1_exp = ConvLayer(
                in_channels=last, out_channels=expanded, activation=config.hidden_act
            )
        initialize(self)

    def forward(self, pixel_values: Tensor, output_hidden_states: bool | None = None) -> BackboneOutput:
        """Computes the feature maps.

        Args:
            pixel_values: [b, num_channels, height, width], in 0..1, of any size.
            output_hidden_states: whether to return every stage's output; the config says so unless given.

        Raises:
            ValueError: ``pixel_values`` is of another shape or not floating point.
        """
        self._check_pixels(pixel_values)
        states = self.encoder(self.conv_stem(pixel_values))
        last = self.conv_1x1_exp(states[-1]) if self.expand_output else states[-1]
        return BackboneOutput(
            last_hidden_state=last,  # [b, c, h, w]
            pooler_output=last.mean(dim=(-2, -1)) if self.expand_output else None,  # [b, c]
            hidden_states=states if self._wants_hidden_states(output_hidden_states) else None,
        )


class MobileViTForImageClassification(MobileViTPreTrainedModel):
    """The backbone with a linear classifier on its pooled output."""

    def __init__(self, config: MobileViTConfig) -> None:
        super().__init__(config)
        self.mobilevit = MobileViTModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.neck_hidden_sizes[-1], config.num_labels)
        initialize(self.classifier)

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, output_hidden_states: bool | None = None
    ) -> ImageClassifierOutput:
        """Computes the logits, and the loss if there are labels.

        Args:
            pixel_values: [b, num_channels, height, width], in 0..1, of any size.
            labels: [b] class numbers, [b, num_labels] zeros and ones for several classes at once, or targets
                of a regression. ``config.problem_type`` says which; without it, their dtype does.
            output_hidden_states: whether to return every stage's output; the config says so unless given.

        Raises:
            ValueError: ``pixel_values`` is of another shape or not floating point.
        """
        outputs = self.mobilevit(
            pixel_values, output_hidden_states=self._wants_hidden_states(output_hidden_states)
        )
        logits = self.classifier(self.dropout(outputs.pooler_output))  # [b, num_labels]
        loss = None if labels is None else classification_loss(logits, labels, self.config.problem_type)
        return ImageClassifierOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states)


def classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The published choice of loss.

    Without a ``problem_type``, one label is a regression, whole numbers are classes, and anything else is
    several classes at once.
    """
    num_labels = logits.shape[-1]
    if problem_type is None:
        problem_type = _inferred_problem_type(num_labels, labels)
    if problem_type == "regression":
        return (
            F.mse_loss(logits.squeeze(), labels.squeeze()) if num_labels == 1 else F.mse_loss(logits, labels)
        )
    if problem_type == "single_label_classification":
        return F.cross_entropy(logits, labels.reshape(-1))
    return F.binary_cross_entropy_with_logits(logits, labels)


def _inferred_problem_type(num_labels: int, labels: Tensor) -> str:
    if num_labels == 1:
        return "regression"
    whole = labels.dtype in (torch.long, torch.int)
    return "single_label_classification" if whole else "multi_label_classification"


@torch.no_grad()
def initialize(model: nn.Module) -> None:
    """Draws fresh weights under which a picture's signal neither dies nor explodes, even before training.

    Kaiming for convolutions, Xavier for linear layers. The published initialisation (BatchNorm scales near
    zero) gives logits of 1e-41, on which every comparison of two implementations passes.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            # torch's fan_in counts the inputs of one group, as a depthwise convolution needs; its fan_out
            # counts the outputs of all groups, and would all but silence those.
            nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
