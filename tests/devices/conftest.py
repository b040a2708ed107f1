"""The timed target, registered here and in the processes that are started; artifacts with raw inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from conftest import on_path
from mobilevit_deploy.errors import DeviceError
from mobilevit_deploy.parity.cases import parity_cases
from mobilevit_deploy.pipeline import Exported
from mobilevit_deploy.reference import Reference, app_preprocessing
from mobilevit_deploy.target import get_target

OrSkip = Callable[[Callable[[], Any]], Any]

_UNREACHABLE = ("Downloading", "Reading Debian's list", "Debian packages", "The emulated device needs")


@pytest.fixture(autouse=True)
def _timed_target(monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, Path(__file__).parents[1] / "fakes" / "timed_target")


@pytest.fixture(scope="session")
def or_skip() -> OrSkip:
    """Make something of downloaded pieces, unless Debian, its mirror or PyPI is out of reach here."""

    def make_or_skip(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except DeviceError as error:
            if error.problem.startswith(_UNREACHABLE):
                pytest.skip(str(error))
            raise

    return make_or_skip


@dataclass(frozen=True)
class RawCases:
    """An artifact, pictures as the raw files that a runner reads, and what the session here makes of each."""

    exported: Exported
    inputs: dict[str, Path]
    expected: list[tuple[NDArray[Any], ...]]

    @property
    def model(self) -> Path:
        return self.exported.path

    @property
    def input(self) -> Path:
        return next(iter(self.inputs.values()))


@pytest.fixture(scope="session")
def raw_cases(
    reference: Reference, exported: Callable[..., Exported], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., RawCases]:
    """Real photographs and noise: pictures on which outputs differ."""
    made: dict[tuple[str, str], RawCases] = {}

    def prepare(target: str, precision: str = "fp32") -> RawCases:
        if (target, precision) not in made:
            artifact = exported(target, precision)
            opened = artifact.manifest.artifact(artifact.path.parent)
            (given,) = opened.inputs
            folder = tmp_path_factory.mktemp("inputs")
            preprocess = app_preprocessing(reference, given)
            cases = parity_cases(reference.preprocess)
            session = get_target(target).open_session(opened)
            inputs, expected = {}, []
            for case in (*cases[:3], cases[-1]):
                array = preprocess.feed(case.picture, given)
                inputs[case.name] = folder / f"{case.name}.raw"
                inputs[case.name].write_bytes(array.tobytes())
                expected.append(session.run(array))
            session.close()
            made[target, precision] = RawCases(artifact, inputs, expected)
        return made[target, precision]

    return prepare
