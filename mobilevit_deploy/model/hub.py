"""Where a checkpoint lies: bundled, a local path, or on the model hub, fetched into the hub's cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mobilevit_deploy.demo import DEMOS, demo_checkpoint
from mobilevit_deploy.errors import CheckpointError, HubError

SAFETENSORS_NAME = "model.safetensors"
PICKLE_NAME = "pytorch_model.bin"

_SMALL_FILES = ("config.json", "preprocessor_config.json")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILE_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".tar", ".json")


def resolve_checkpoint(source: str | Path) -> Path:
    """Finds a checkpoint, fetching it if need be.

    Args:
        source: a folder, a file, or (only as strings) a hub id such as ``apple/mobilevit-xx-small`` or one of
            ``demo.DEMOS``, which are bundled.

    Returns:
        An existing local path: the folder, the file, or the folder in the hub's cache.

    Raises:
        CheckpointError: there is no such path, and it cannot be a hub id.
        HubError: the hub cannot be reached or has no such model.
    """
    if source in DEMOS:
        return demo_checkpoint(str(source))
    path = _local_path(str(source))
    if path is not None:
        return path
    if isinstance(source, str) and _may_be_hub_id(source):
        return _fetch(source)
    raise CheckpointError(
        f"There is no folder or file '{source}'.",
        remedy="Check the path; a model on the hub is named like apple/mobilevit-xx-small.",
    )


def _local_path(source: str) -> Path | None:
    # Path.expanduser raises for a user that does not exist; this leaves the name as it is.
    path = Path(os.path.expanduser(source))  # noqa: PTH111
    try:
        # An empty name is not the current folder.
        if not source or not path.exists():
            return None
        if path.is_dir() or path.is_file():
            return path
    except OSError as error:
        raise CheckpointError(
            f"'{source}' cannot be read: {error.strerror}.", remedy="Check the path and its permissions."
        ) from error
    raise CheckpointError(f"'{source}' is neither a folder nor a file.", remedy="Pass a checkpoint's folder.")


def _may_be_hub_id(source: str) -> bool:
    """Whether the hub is asked for a name that is no existing path; not if it looks like a mistyped path."""
    return _HUB_ID.fullmatch(source) is not None and not source.endswith(_FILE_SUFFIXES)


def _fetch(hub_id: str) -> Path:
    folder = _snapshot(hub_id, SAFETENSORS_NAME)
    # Older repositories hold a pickle only. Asking for both at once would fetch the weights twice.
    return folder if (folder / SAFETENSORS_NAME).exists() else _snapshot(hub_id, PICKLE_NAME)


def _snapshot(hub_id: str, weights: str) -> Path:
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[*_SMALL_FILES, weights]))
    except errors.HFValidationError as error:
        raise HubError(
            f"'{hub_id}' is no path here and no hub id.",
            remedy="Pass a folder, or a name like apple/mobilevit-xx-small.",
        ) from error
    except errors.GatedRepoError as error:
        raise HubError(
            f"The hub's terms for '{hub_id}' have not been accepted.",
            remedy="Accept them on the model's page, then log in with: hf auth login",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"The hub has no model '{hub_id}', or keeps it private, and there is no such folder here.",
            remedy="Check the spelling; for a private model log in with: hf auth login",
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise HubError(
            f"There is no folder '{hub_id}', it is not in the hub's cache, and the hub cannot be reached: "
            f"{_reason(error)}",
            remedy="Connect to the network (and unset HF_HUB_OFFLINE), or copy the model's folder from "
            "elsewhere and pass its path.",
        ) from error
    except Exception as error:
        # Whatever a network stack or a full cache disk raises, the user can only try again or go around it.
        raise HubError(
            f"'{hub_id}' could not be fetched: {_reason(error)}",
            remedy="Try again, or copy the model's folder from elsewhere and pass its path.",
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of the innermost cause: the hub's own messages bury it."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".") + "."
