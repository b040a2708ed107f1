"""Names are turned along the tree of modules: all of a name or nothing, each once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.errors import CheckpointError
from mobilevit_deploy.model.formats.cvnets import TREE as CVNETS
from mobilevit_deploy.model.formats.renaming import Tree, new_name, renamed
from mobilevit_deploy.model.formats.timm import TREE as TIMM

CONV: Tree = {r"conv\.": ("convolution.", None)}
TREE: Tree = {
    r"stem\.": ("conv_stem.", CONV),
    r"blocks\.(\d+)\.attn\.": (r"layer.\1.", {r"qkv\.": ("attention.qkv.", None)}),
    r"head\.": ("classifier.", None),
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stem.conv.weight", "conv_stem.convolution.weight"),
        ("blocks.12.attn.qkv.bias", "layer.12.attention.qkv.bias"),
        ("stem.conv", None),
        ("stem.conv.weight.more", None),
        ("stem.conv.scale", None),
        ("my.stem.conv.weight", None),
        ("", None),
    ],
)
def test_a_name_is_translated_whole_or_not_at_all(name: str, expected: str | None) -> None:
    assert new_name(name, TREE) == expected


def test_a_fused_projection_becomes_three() -> None:
    qkv = torch.arange(12.0).reshape(6, 2)
    found, dropped = renamed("model.pt", {"blocks.0.attn.qkv.weight": qkv}, TREE)
    assert not dropped
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "layer.0.attention.query.weight": [[0, 1], [2, 3]],
        "layer.0.attention.key.weight": [[4, 5], [6, 7]],
        "layer.0.attention.value.weight": [[8, 9], [10, 11]],
    }


@pytest.mark.parametrize("shape", [(), (7, 2)])
def test_what_cannot_be_split_in_three_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match="no three projections"):
        renamed("model.pt", {"blocks.0.attn.qkv.weight": torch.zeros(shape)}, TREE)


def test_the_backbone_is_prefixed_where_there_is_a_head() -> None:
    tensors = {"stem.conv.weight": torch.zeros(1), "head.weight": torch.zeros(1), "extra.x": torch.zeros(1)}
    found, dropped = renamed("model.pt", tensors, TREE, unused=("extra.",))
    assert found.keys() == {"mobilevit.conv_stem.convolution.weight", "classifier.weight"}
    assert dropped == ["extra.x"]
    bare, _ = renamed("model.pt", {"stem.conv.weight": torch.zeros(1)}, TREE)
    assert bare.keys() == {"conv_stem.convolution.weight"}


def test_two_names_for_one_tensor_are_refused() -> None:
    one = torch.zeros(1)
    tensors = {"conv_1.block.conv.weight": one, "encoder.conv_1.block.conv.weight": one}
    with pytest.raises(CheckpointError, match=r"more than one tensor for conv_stem\.convolution\.weight"):
        renamed("model.pt", tensors, CVNETS)


def test_unknown_names_are_listed() -> None:
    with pytest.raises(CheckpointError, match=r"'model\.pt' holds .* no part .*: criterion\.weight"):
        renamed("model.pt", {"criterion.weight": torch.zeros(1)}, TREE)


@given(st.text(alphabet="layer_stgconvbq.0123456789wih", max_size=40))
def test_any_name_is_translated_or_unknown(name: str) -> None:
    for tree in (TIMM, CVNETS):
        new = new_name(name, tree)
        assert new is None or new.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]
