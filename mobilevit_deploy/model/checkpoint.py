"""Opens checkpoints of every supported format, and writes Hugging Face's (config.json, model.safetensors).

Whatever the format, a ``Checkpoint`` has a config, tensors under Hugging Face's names, and the preprocessing
that its weights expect. Reading is strict: weights that hold NaN or do not fit their config are refused with
the names of the tensors at fault. Writing replaces whole files or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mobilevit_deploy.demo import DEMOS
from mobilevit_deploy.errors import CheckpointError, UsageError
from mobilevit_deploy.model.config import CONFIG_NAME, MobileViTConfig
from mobilevit_deploy.model.formats import Format, Recognised, recognise, unsupported
from mobilevit_deploy.model.hub import PICKLE_NAME, SAFETENSORS_NAME, resolve_checkpoint
from mobilevit_deploy.model.labels import read_labels
from mobilevit_deploy.model.weights import WEIGHTS_SUFFIXES, listed, read_weights
from mobilevit_deploy.task import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from mobilevit_deploy.image import MobileViTImageProcessor
    from mobilevit_deploy.model import MobileViTForImageClassification, MobileViTForSemanticSegmentation

__all__ = [
    "Checkpoint",
    "open_checkpoint",
    "open_config",
    "read_config",
    "resolve_checkpoint",
    "save_checkpoint",
]

PREPROCESSOR_NAME = "preprocessor_config.json"

_UNNAMED = "The classes have no names; a file of labels gives them."

ChannelOrder = Literal["RGB", "BGR"]

# File names that say nothing of the model; the folder's name does.
_FILE_NAMES_OF_ALL = ("model", "pytorch_model", "config")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A config, the weights that go with it, and how their input is prepared.

    Attributes:
        name: for file names and reports: the hub's, the folder's, or a loose file's own.
        format: who saved it.
        config: the architecture and the labels.
        weights: the file that holds the weights.
        notes: sentences on what the checkpoint does not tell and was taken as published, and on what of it
            was left out.
        channel_order: what its user says that the weights expect, against what is declared.
    """

    name: str
    format: Format
    config: MobileViTConfig
    weights: Path
    notes: tuple[str, ...] = ()
    channel_order: ChannelOrder | None = None
    _tensors: Callable[[], dict[str, Tensor]] = field(repr=False, compare=False)
    _published_preprocessing: MobileViTImageProcessor | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, source: str | Path) -> Checkpoint:
        """The same as ``open_checkpoint``."""
        return open_checkpoint(source)

    @property
    def task(self) -> Task:
        """What the model is for; decides its class."""
        if self.config.architectures:
            return self.config.task
        segments = any(name.startswith("segmentation_head.") for name in self._tensors())
        return Task.SEGMENTATION if segments else Task.CLASSIFICATION

    @property
    def preprocessing(self) -> MobileViTImageProcessor | None:
        """From picture to ``pixel_values``: as declared beside the weights, else as published for the format.

        None if neither says; Hugging Face's checkpoints differ too much for a guess.

        Raises:
            CheckpointError: the preprocessor_config.json beside the weights makes no sense.
        """
        from mobilevit_deploy.image import MobileViTImageProcessor

        processor = self._published_preprocessing
        if (self.weights.parent / PREPROCESSOR_NAME).exists():
            processor = MobileViTImageProcessor.from_pretrained(self.weights.parent)
        if processor is None or self.channel_order is None:
            return processor
        flip = self.channel_order == "BGR"
        return MobileViTImageProcessor(**{**processor.to_dict(), "do_flip_channel_order": flip})

    def require_preprocessing(self) -> MobileViTImageProcessor:
        """The same as ``preprocessing``, for those who cannot do without.

        Raises:
            CheckpointError: it is not declared, or makes no sense.
        """
        preprocessing = self.preprocessing
        if preprocessing is None:
            home = str(self.weights.parent)
            raise CheckpointError(
                f"'{home}' has no {PREPROCESSOR_NAME}, and channel order and scale must not be guessed.",
                remedy="Copy the file from the original model, or write one with "
                f"MobileViTImageProcessor(...).save_pretrained({home!r}).",
            )
        return preprocessing

    def tensors_for(self, model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
        """Reads the weights and fits them to a model.

        Args:
            model: gives names and shapes; may lie on the meta device.
            dtype: of the floating-point tensors returned.

        Raises:
            CheckpointError: the file cannot be read, or a tensor is missing, unexpected, misshapen or
                unusable.
        """
        from mobilevit_deploy.model.fit import fit

        return fit(self.weights, self._tensors(), model.state_dict(), dtype)

    def load(
        self, dtype: torch.dtype | None = None
    ) -> MobileViTForImageClassification | MobileViTForSemanticSegmentation:
        """Builds the model for the checkpoint's task, with its weights, ready for inference (``eval()``).

        Args:
            dtype: to compute in, whatever the file stores; float32 unless given.

        Raises:
            CheckpointError: as ``tensors_for``; a backbone without a head is refused so as well.
        """
        import torch

        from mobilevit_deploy.model import MobileViTForImageClassification, MobileViTForSemanticSegmentation

        dtype = dtype or torch.float32
        if self.task is Task.SEGMENTATION:
            return MobileViTForSemanticSegmentation.from_checkpoint(self, dtype=dtype)
        return MobileViTForImageClassification.from_checkpoint(self, dtype=dtype)

    def save(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Writes the checkpoint as a Hugging Face folder, which transformers loads too; all files or none.

        Args:
            folder: where to; made if need be.
            dtype: to store the weights in, float32 unless given; ``torch.float16`` halves the file.

        Raises:
            CheckpointError: the checkpoint is unusable, or does not say how its input is preprocessed.
            OutputError: the folder cannot be written.
        """
        preprocessing = self.require_preprocessing()
        model = self.load(dtype)
        config = self.config.updated(architectures=(type(model).__name__,))
        save_checkpoint(Path(folder), config, model.state_dict(), None, preprocessing)


def open_checkpoint(
    source: str | Path,
    *,
    channel_order: str | None = None,
    labels: str | Path | None = None,
    ema: bool | None = None,
) -> Checkpoint:
    """Finds a checkpoint, recognises its format, and reads or infers its config.

    Args:
        source: a folder, a weights file, or a hub id, in Hugging Face's format, timm's or ml-cvnets'; or one
            of ``demo.DEMOS``, which are bundled.
        channel_order: ``rgb`` or ``bgr``: what the weights expect, if the checkpoint declares otherwise.
        labels: a file with the names of the classes, see ``read_labels``; they replace the checkpoint's own.
        ema: of a training checkpoint, whether to take the averaged weights (EMA) or those of the last step;
            unless given, the averaged ones if there are any.

    Raises:
        CheckpointError: it cannot be read, or is of another model or format.
        HubError: the hub cannot be reached or has no such model.
        UsageError: there is no such channel order.
    """
    order = None if channel_order is None else _channel_order(channel_order)
    path = resolve_checkpoint(source)
    checkpoint = replace(_opened(path, ema), name=_name(source, path), channel_order=order)
    if labels is None:
        unnamed = checkpoint.config.id2label[0] == "LABEL_0"
        return replace(checkpoint, notes=(*checkpoint.notes, *[_UNNAMED] * unnamed))
    names = read_labels(labels, checkpoint.config.num_labels)
    return replace(checkpoint, config=checkpoint.config.updated(id2label=dict(enumerate(names))))


def open_config(source: str | Path) -> MobileViTConfig:
    """Reads or infers the config of a checkpoint; of Hugging Face's, the config.json is enough.

    Raises:
        CheckpointError: there is none, or it is no MobileViT's.
        HubError: the hub cannot be reached or has no such model.
    """
    path = resolve_checkpoint(source)
    if _is_weights_file(path) or _is_timm(_declared(path)):
        return open_checkpoint(path).config
    return read_config(path)


def read_config(path: Path) -> MobileViTConfig:
    """Reads Hugging Face's config.json of a folder, or the one beside a file.

    Raises:
        CheckpointError: there is none, or it is no MobileViT's.
    """
    file = _config_file(path)
    declared = _declared(path)
    if declared is None:
        raise CheckpointError(
            f"There is no {CONFIG_NAME} in '{file.parent}'.",
            remedy="Pass a folder in Hugging Face's layout: config.json beside model.safetensors.",
        )
    if isinstance(declared, Mapping) and declared.get("model_type") == "mobilevitv2":
        raise unsupported(str(file), "is of a MobileViTv2; only 'mobilevit' (the first) is supported")
    try:
        return MobileViTConfig.from_dict(declared)
    except ValueError as error:
        raise CheckpointError(f"'{file}' cannot be used: {error}", remedy="Correct the file.") from error


def save_checkpoint(
    folder: Path,
    config: MobileViTConfig,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype | None,
    preprocessing: MobileViTImageProcessor | None = None,
) -> None:
    """Writes config.json and model.safetensors into a folder, made if need be; all files or none.

    Args:
        folder: where to.
        config: the config.
        tensors: a model's state dict.
        dtype: of the floating-point tensors in the file; ``torch.float16`` halves it. None keeps theirs.
        preprocessing: written as preprocessor_config.json, if given.

    Raises:
        CheckpointError: a weight is NaN or Inf, or does not fit into ``dtype``.
        OutputError: the folder cannot be written.
    """
    from safetensors.torch import save

    from mobilevit_deploy.output import output_folder, staging

    stored = {name: _storable(name, tensor, dtype) for name, tensor in tensors.items()}
    texts = {CONFIG_NAME: config.to_json_string()}
    if preprocessing is not None:
        texts[PREPROCESSOR_NAME] = json.dumps(preprocessing.to_dict(), indent=2, sort_keys=True) + "\n"
    with staging(output_folder(folder)) as stage:
        # transformers refuses a file that does not say which framework wrote it.
        (stage / SAFETENSORS_NAME).write_bytes(save(stored, metadata={"format": "pt"}))
        for name, text in texts.items():
            (stage / name).write_text(text, encoding="utf-8")
        for name in (SAFETENSORS_NAME, *texts):
            (stage / name).replace(folder / name)


def _opened(path: Path, ema: bool | None) -> Checkpoint:
    declared = _declared(path)
    file = _weights_file(path)
    if not _is_weights_file(path) and declared is not None and not _is_timm(declared):
        # The weights are read when they are asked for: many only want the config.
        return _hugging_face(path, file, lambda: read_weights(file, ema=ema).tensors)
    stored = read_weights(file, ema=ema)
    notes = (f"Averaged weights (EMA), which '{file.name}' keeps as {stored.entry}.",) * stored.averaged
    found = recognise(str(file), stored.tensors.keys())
    if found is Format.HUGGING_FACE:
        return replace(_hugging_face(path, file, lambda: stored.tensors), notes=notes)
    recognised = _mapped(found, file, stored.tensors, declared)
    return Checkpoint(
        name=file.stem,
        format=found,
        config=recognised.config,
        weights=file,
        notes=(*notes, *recognised.notes),
        _tensors=lambda: recognised.tensors,
        _published_preprocessing=recognised.preprocessing,
    )


def _hugging_face(path: Path, file: Path, tensors: Callable[[], dict[str, Tensor]]) -> Checkpoint:
    return Checkpoint(
        name=file.stem,
        format=Format.HUGGING_FACE,
        config=read_config(path),
        weights=file,
        _tensors=tensors,
    )


def _mapped(found: Format, file: Path, tensors: dict[str, Tensor], declared: Any) -> Recognised:
    from mobilevit_deploy.model.formats import cvnets, timm

    if found is Format.CVNETS:
        return cvnets.read(file, tensors)
    return timm.read(file, tensors, declared if _is_timm(declared) else None)


def _is_timm(declared: Any) -> bool:
    from mobilevit_deploy.model.formats.timm import is_timm_config

    return isinstance(declared, Mapping) and is_timm_config(declared)


def _config_file(path: Path) -> Path:
    return (path if path.is_dir() else path.parent) / CONFIG_NAME


def _declared(path: Path) -> Any:
    """The content of the config.json in a folder or beside a file; None if there is none."""
    file = _config_file(path)
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"'{file}' is no JSON: {error}.", remedy="Fetch the file again.") from error
    except OSError as error:
        raise CheckpointError(
            f"'{file}' cannot be read: {error.strerror}.", remedy="Check the file and its permissions."
        ) from error


def _is_weights_file(path: Path) -> bool:
    return path.is_file() and path.name != CONFIG_NAME


def _weights_file(path: Path) -> Path:
    """The file itself, or the one in a folder that holds the weights."""
    if _is_weights_file(path):
        return path
    folder = path if path.is_dir() else path.parent
    for name in (SAFETENSORS_NAME, PICKLE_NAME):
        if (folder / name).is_file():
            return folder / name
    others = sorted(file for file in folder.iterdir() if file.suffix in WEIGHTS_SUFFIXES)
    if len(others) == 1:
        return others[0]
    if others:
        raise CheckpointError(
            f"'{folder}' holds {len(others)} weights files: {listed(file.name for file in others)}.",
            remedy="Pass one of them.",
        )
    raise CheckpointError(
        f"'{folder}' holds neither {SAFETENSORS_NAME} nor {PICKLE_NAME}.",
        remedy="Pass a folder in Hugging Face's layout: config.json beside model.safetensors.",
    )


def _channel_order(name: str) -> ChannelOrder:
    orders: dict[str, ChannelOrder] = {"RGB": "RGB", "BGR": "BGR"}
    if name.upper() not in orders:
        raise UsageError(f"There is no channel order '{name}'.", remedy="Give rgb or bgr.")
    return orders[name.upper()]


def _name(source: str | Path, path: Path) -> str:
    if source in DEMOS:
        return path.name
    # A hub id's snapshot lies in a folder named by its commit; its own last part reads better.
    if not Path(source).expanduser().exists():
        return str(source).rsplit("/", maxsplit=1)[-1]
    resolved = path.resolve()
    loose = _is_weights_file(path) and path.stem not in _FILE_NAMES_OF_ALL
    return resolved.stem if loose else (resolved if path.is_dir() else resolved.parent).name


def _storable(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    from mobilevit_deploy.model.fit import check_values

    if not tensor.is_floating_point():
        return tensor.detach().cpu().contiguous()
    stored = tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
    check_values("The model", name, stored)
    return stored
