"""MobileViT as timm and ml-cvnets name its modules, to stand in for their checkpoints.

The module trees give the published names and shapes of the state dicts; the arithmetic is the paper's, for
pictures whose sides are multiples of 64, written with other operations than the project's own model, so that
a tensor mapped to the wrong place shows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilevit_deploy.model import MobileViTConfig

DEPTHS = (2, 4, 3)
HEADS = 4

# Parameters of each published classifier (timm's models, counted).
PARAMETERS = {"xxs": 1_272_024, "xs": 2_317_848, "s": 5_578_632}


def alive(model: Any) -> Any:
    """In eval mode, with seeded weights of which every one matters to the output."""
    torch.manual_seed(2110)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.2)
    return model.eval()


def sequence(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


def attend(tokens: Tensor, qkv: nn.Linear, out: nn.Linear) -> Tensor:
    """[b, n, d] -> [b, n, d]."""
    b, n, d = tokens.shape
    query, key, value = qkv(tokens).reshape(b, n, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value)
    return out(mixed.transpose(1, 2).reshape(b, n, d))


def over_patches(features: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies what maps [b*4, n, d] to itself to the cells at the same place of all 2x2 patches."""
    b, d, h, w = features.shape
    patches = F.unfold(features, 2, stride=2).reshape(b, d, 4, -1)  # [b, d, 4, n]
    tokens = transform(patches.permute(0, 2, 3, 1).flatten(0, 1))
    patches = tokens.reshape(b, 4, -1, d).permute(0, 3, 1, 2).flatten(1, 2)
    return F.fold(patches, (h, w), 2, stride=2)


def expanded(width: int, config: MobileViTConfig) -> int:
    """Every published width is a multiple of 8 once expanded."""
    assert width * config.expand_ratio % 8 == 0
    return int(width * config.expand_ratio)


# ml-cvnets


class CvnetsConv(nn.Module):
    def __init__(
        self,
        i: int,
        o: int,
        kernel: int = 1,
        act: Any = nn.SiLU,
        norm: bool = True,
        bias: bool = False,
        **more: Any,
    ) -> None:
        super().__init__()
        padding = kernel // 2 * more.get("dilation", 1)
        layers = OrderedDict(conv=nn.Conv2d(i, o, kernel, padding=padding, bias=bias, **more))
        if norm:
            layers["norm"] = nn.BatchNorm2d(o)
        if act:
            layers["act"] = act()
        self.block = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class CvnetsInvertedResidual(nn.Module):
    def __init__(self, config: MobileViTConfig, i: int, o: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        wide = expanded(i, config)
        self.residual = stride == 1 and i == o
        self.block = sequence(
            exp_1x1=CvnetsConv(i, wide),
            conv_3x3=CvnetsConv(wide, wide, 3, stride=stride, groups=wide, dilation=dilation),
            red_1x1=CvnetsConv(wide, o, act=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.residual else self.block(x)


class CvnetsAttention(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.qkv_proj, self.out_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x: Tensor) -> Tensor:
        return attend(x, self.qkv_proj, self.out_proj)


class CvnetsTransformer(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.pre_norm_mha = nn.Sequential(nn.LayerNorm(d), CvnetsAttention(d), nn.Dropout())
        self.pre_norm_ffn = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.SiLU(), nn.Dropout(), nn.Linear(2 * d, d), nn.Dropout()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pre_norm_mha(x)
        return x + self.pre_norm_ffn(x)


class CvnetsBlock(nn.Module):
    def __init__(self, c: int, d: int, depth: int) -> None:
        super().__init__()
        self.local_rep = sequence(
            conv_3x3=CvnetsConv(c, c, 3), conv_1x1=CvnetsConv(c, d, act=None, norm=False)
        )
        self.global_rep = nn.Sequential(*(CvnetsTransformer(d) for _ in range(depth)), nn.LayerNorm(d))
        self.conv_proj = CvnetsConv(d, c)
        self.fusion = CvnetsConv(2 * c, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        whole = self.conv_proj(over_patches(self.local_rep(x), self.global_rep))
        return self.fusion(torch.cat((x, whole), dim=1))


class CvnetsEncoder(nn.Module):
    """The backbone, with a classifier if there are labels."""

    def __init__(self, config: MobileViTConfig, labels: int | None, dilations: tuple[int, ...] = ()) -> None:
        super().__init__()
        stem, *c, last = config.neck_hidden_sizes
        self.conv_1 = CvnetsConv(3, stem, 3, stride=2)
        self.layer_1 = nn.Sequential(CvnetsInvertedResidual(config, stem, c[0], 1))
        self.layer_2 = nn.Sequential(
            CvnetsInvertedResidual(config, c[0], c[1], 2),
            *(CvnetsInvertedResidual(config, c[1], c[1], 1) for _ in range(2)),
        )
        for i, (d, depth) in enumerate(zip(config.hidden_sizes, DEPTHS, strict=True)):
            # A stage that keeps its map's size dilates by what the stages before it have left out.
            dilation = dilations[i] if dilations else 0
            down = CvnetsInvertedResidual(
                config, c[i + 1], c[i + 2], 1 if dilation else 2, dilation=dilation or 1
            )
            setattr(self, f"layer_{i + 3}", nn.Sequential(down, CvnetsBlock(c[i + 2], d, depth)))
        if labels is not None:
            self.conv_1x1_exp = CvnetsConv(c[-1], last)
            self.classifier = sequence(
                global_pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(last, labels)
            )

    def stages(self, x: Tensor) -> Tensor:
        x = self.conv_1(x)
        for i in range(1, 6):
            x = getattr(self, f"layer_{i}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.conv_1x1_exp(self.stages(x)))


class CvnetsAsppPooling(nn.Module):
    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.aspp_pool = sequence(global_pool=nn.AdaptiveAvgPool2d(1), conv_1x1=CvnetsConv(i, o, act=nn.ReLU))

    def forward(self, x: Tensor) -> Tensor:
        return self.aspp_pool(x).expand(-1, -1, *x.shape[-2:])


class CvnetsAspp(nn.Module):
    def __init__(self, i: int, o: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                CvnetsConv(i, o, act=nn.ReLU),
                *(CvnetsConv(i, o, 3, act=nn.ReLU, dilation=rate) for rate in rates),
                CvnetsAsppPooling(i, o),
            ]
        )
        self.project = CvnetsConv(5 * o, o, act=nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([conv(x) for conv in self.convs], dim=1))


class CvnetsSegmentationHead(nn.Module):
    def __init__(self, config: MobileViTConfig, *, first_version: bool, auxiliary: bool) -> None:
        super().__init__()
        i, o, labels = config.neck_hidden_sizes[-2], config.aspp_out_channels, config.num_labels
        self.aspp = sequence(aspp_layer=CvnetsAspp(i, o, config.atrous_rates))
        classifier = CvnetsConv(o, labels, act=None, norm=False, bias=True)
        self.classifier = (
            sequence(dropout=nn.Dropout2d(), classifier=classifier) if first_version else classifier
        )
        if auxiliary:
            fourth = config.neck_hidden_sizes[-3]
            self.aux_head = nn.Sequential(
                CvnetsConv(fourth, 128, 3),
                nn.Dropout2d(),
                CvnetsConv(128, labels, act=None, norm=False, bias=True),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Without the enlargement to the picture's size, which Hugging Face's model does not do either."""
        return self.classifier(self.aspp(x))


class CvnetsSegmenter(nn.Module):
    def __init__(
        self, config: MobileViTConfig, *, first_version: bool = True, auxiliary: bool = False
    ) -> None:
        super().__init__()
        dilations = {16: (0, 0, 1), 8: (0, 1, 2)}[config.output_stride]
        self.encoder = CvnetsEncoder(config, None, dilations)
        self.seg_head = CvnetsSegmentationHead(config, first_version=first_version, auxiliary=auxiliary)

    def forward(self, x: Tensor) -> Tensor:
        return self.seg_head(self.encoder.stages(x))


def cvnets_classifier(size: str, labels: int = 5) -> CvnetsEncoder:
    return alive(CvnetsEncoder(MobileViTConfig.preset(size), labels))


# timm


class TimmConv(nn.Module):
    def __init__(self, i: int, o: int, kernel: int = 1, act: bool = True, **more: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=False, **more)
        self.bn = nn.BatchNorm2d(o)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.silu(x) if self.act else x


class TimmInvertedResidual(nn.Module):
    def __init__(self, config: MobileViTConfig, i: int, o: int, stride: int) -> None:
        super().__init__()
        wide = expanded(i, config)
        self.residual = stride == 1 and i == o
        self.conv1_1x1 = TimmConv(i, wide)
        self.conv2_kxk = TimmConv(wide, wide, 3, stride=stride, groups=wide)
        self.conv3_1x1 = TimmConv(wide, o, act=False)

    def forward(self, x: Tensor) -> Tensor:
        narrowed = self.conv3_1x1(self.conv2_kxk(self.conv1_1x1(x)))
        return x + narrowed if self.residual else narrowed


class TimmTransformer(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(d, 3 * d), "proj": nn.Linear(d, d)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(d, 2 * d), "fc2": nn.Linear(2 * d, d)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + attend(self.norm1(x), self.attn["qkv"], self.attn["proj"])
        return x + self.mlp["fc2"](F.silu(self.mlp["fc1"](self.norm2(x))))


class TimmBlock(nn.Module):
    def __init__(self, c: int, d: int, depth: int) -> None:
        super().__init__()
        self.conv_kxk = TimmConv(c, c, 3)
        self.conv_1x1 = nn.Conv2d(c, d, 1, bias=False)
        self.transformer = nn.Sequential(*(TimmTransformer(d) for _ in range(depth)))
        self.norm = nn.LayerNorm(d)
        self.conv_proj = TimmConv(d, c)
        self.conv_fusion = TimmConv(2 * c, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        local = self.conv_1x1(self.conv_kxk(x))
        whole = self.conv_proj(over_patches(local, lambda tokens: self.norm(self.transformer(tokens))))
        return self.conv_fusion(torch.cat((x, whole), dim=1))


class TimmClassifier(nn.Module):
    def __init__(self, config: MobileViTConfig, labels: int) -> None:
        super().__init__()
        stem, *c, last = config.neck_hidden_sizes
        self.stem = TimmConv(3, stem, 3, stride=2)
        self.stages = nn.Sequential(
            nn.Sequential(TimmInvertedResidual(config, stem, c[0], 1)),
            nn.Sequential(
                TimmInvertedResidual(config, c[0], c[1], 2),
                *(TimmInvertedResidual(config, c[1], c[1], 1) for _ in range(2)),
            ),
            *(
                nn.Sequential(
                    TimmInvertedResidual(config, c[i + 1], c[i + 2], 2),
                    TimmBlock(c[i + 2], config.hidden_sizes[i], DEPTHS[i]),
                )
                for i in range(3)
            ),
        )
        self.final_conv = TimmConv(c[-1], last)
        self.head = nn.ModuleDict({"fc": nn.Linear(last, labels)})

    def forward(self, x: Tensor) -> Tensor:
        return self.head["fc"](self.final_conv(self.stages(self.stem(x))).mean(dim=(2, 3)))


def timm_classifier(size: str, labels: int = 5) -> TimmClassifier:
    return alive(TimmClassifier(MobileViTConfig.preset(size), labels))


TIMM_CONFIG: dict[str, Any] = {
    "architecture": "mobilevit_xxs",
    "num_classes": 5,
    "num_features": 320,
    "global_pool": "avg",
    "pretrained_cfg": {
        "tag": "cvnets_in1k",
        "custom_load": False,
        "input_size": [3, 256, 256],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "crop_mode": "center",
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "num_classes": 5,
        "pool_size": [8, 8],
        "first_conv": "stem.conv",
        "classifier": "head.fc",
        "license": "cvnets-license",
    },
}
"""What timm writes beside its weights."""
