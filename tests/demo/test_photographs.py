from __future__ import annotations

import pytest
from PIL import Image

from mobilevit_deploy.demo import parity_photographs, photographs
from mobilevit_deploy.errors import DeployError


def test_parity_photographs_are_a_dozen_pictures_colour_and_grey() -> None:
    modes = []
    for path in parity_photographs():
        with Image.open(path) as photograph:
            modes.append(photograph.mode)
            assert min(photograph.size) >= 256
    assert len(modes) >= 10
    assert {"RGB", "L"} <= set(modes)


def test_a_missing_photograph_says_how_to_get_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "PARITY_PHOTOGRAPHS", ("not-in-the-wheel.png",))
    with pytest.raises(DeployError, match=r"not-in-the-wheel\.png is missing.*pip install"):
        parity_photographs()


def test_without_scikit_image_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "find_spec", lambda _: None)
    with pytest.raises(DeployError, match="pip install scikit-image"):
        parity_photographs()


@pytest.mark.parametrize("name", photographs.BACKGROUNDS)
def test_training_and_held_out_pictures_never_share_a_pixel_of_a_photograph(name: str) -> None:
    train = photographs.background_region(name, "train")
    held_out = photographs.background_region(name, "heldout")
    with Image.open(photographs.photograph_path(name)) as photograph:
        whole = photograph.convert("RGB")
    # Side by side, without a gap or an overlap, they are the photograph again.
    assert train.width + held_out.width == whole.width
    joined = Image.new("RGB", whole.size)
    joined.paste(train, (0, 0))
    joined.paste(held_out, (train.width, 0))
    assert joined.tobytes() == whole.tobytes()
