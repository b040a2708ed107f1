"""Fixtures shared by the whole suite: slow exports are made once, on the bundled model at a small size."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from mobilevit_deploy.choices import export_options
from mobilevit_deploy.description import Card
from mobilevit_deploy.image import PreprocessSpec
from mobilevit_deploy.pipeline import Exported, export
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.reference import Reference, load_model
from mobilevit_deploy.target import get_target
from mobilevit_deploy.task import Task

TOY_DISTRIBUTION = Path(__file__).parent / "fakes" / "toy_target"
"""A third party's target: a distribution of its own that registers by entry point."""

# On the path of this process and of its children, before tests are collected over all registered targets.
sys.path.append(str(TOY_DISTRIBUTION))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(TOY_DISTRIBUTION), *filter(None, [os.environ.get("PYTHONPATH")])]
)

SIDE = 96
"""Pixels: small enough for quick exports, and every stage still has more than one patch."""


class ByTarget(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Keeps tests of one target on one worker, so that they share its exports, and those of one file.

    xdist's own groups (``--dist loadgroup``) are names appended to a test's id, which pytest 9 ignores.
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        of_folder = re.match(r"tests/targets/(\w+)/", path)
        of_name = re.search(r"\b(coreml|executorch|onnx|tflite)\b", name.partition("[")[2])
        found = of_folder or of_name
        return found[1] if found else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByTarget:
    return ByTarget(config, log)


# A shell that starts the tests in the background ignores SIGINT, and so would what Ctrl-C is tested on.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference() -> Reference:
    """The bundled, trained model at a small input size."""
    return load_model().resized((SIDE, SIDE))


@pytest.fixture(scope="session")
def segmenter() -> Reference:
    """The bundled segmentation model at a small input size."""
    return load_model("demo-segmentation").resized((SIDE, SIDE))


@pytest.fixture(scope="session")
def exported(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Exported]:
    """Export once a session for each request; tests that change files use ``artifact_copy``."""
    return _exporter(reference, tmp_path_factory)


@pytest.fixture(scope="session")
def segmented(segmenter: Reference, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Exported]:
    """The same of the segmentation model."""
    return _exporter(segmenter, tmp_path_factory)


def _exporter(reference: Reference, folders: pytest.TempPathFactory) -> Callable[..., Exported]:
    made: dict[tuple[object, ...], Exported] = {}

    def export_once(target: str, precision: str = "fp32", **choices: object) -> Exported:
        require(target)
        options = export_options(get_target(target), precision, **choices)  # type: ignore[arg-type]
        key = (target, options)
        if key not in made:
            output = folders.mktemp(f"{target}-{precision}")
            # At this size the model is right about two pictures of three: accuracy is judged elsewhere.
            made[key] = export(
                reference,
                target=target,
                precision=precision,
                output=output,
                gate=False,
                **choices,  # type: ignore[arg-type]
            )
        return made[key]

    return export_once


@pytest.fixture
def artifact_copy(exported: Callable[[str, str], Exported], tmp_path: Path) -> Callable[..., Path]:
    """A private copy of an artifact with its manifest, to be damaged."""

    def copy(target: str, precision: str = "fp32") -> Path:
        source = exported(target, precision).path
        if source.is_dir():
            shutil.copytree(source, tmp_path / source.name)
        else:
            shutil.copy(source, tmp_path)
        shutil.copy(source.with_name(source.name + ".json"), tmp_path)
        return tmp_path / source.name

    return copy


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed ``mobilevit-deploy`` as a process in an empty folder."""

    def run(
        *arguments: str | Path, timeout: float = 300, **options: object
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [executable(), *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=options.pop("cwd", tmp_path),
            timeout=timeout,
            check=False,
            **options,
        )

    return run


def card(
    preprocessing: PreprocessSpec,
    labels: Sequence[str],
    precision: Precision = Precision.FP32,
    task: Task = Task.CLASSIFICATION,
) -> Card:
    """What an export would put into a file."""
    return Card(
        producer="mobilevit-deploy tests",
        task=task,
        precision=precision,
        model="small",
        weights_sha256="0" * 64,
        preprocessing=preprocessing,
        labels=tuple(labels),
    )


def on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let this process and its children import what lies in ``folder``, for one test."""
    monkeypatch.syspath_prepend(folder)
    # The toy distribution is there already, so that this never leaves an empty entry: the working folder.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))


def executable() -> str:
    """The console script that belongs to this interpreter."""
    return str(Path(sys.executable).with_name("mobilevit-deploy"))


def require(target: str) -> None:
    """Skip, with the reason, where a target cannot run."""
    here = get_target(target).availability()
    if not here.usable:
        pytest.skip(f"{target}: {here.reason}")
