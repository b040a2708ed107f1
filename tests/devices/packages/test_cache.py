"""A folder in the cache is whole or not there, whoever makes it and however it ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mobilevit_deploy.devices.packages import cache
from mobilevit_deploy.errors import DeviceError


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path / "cache"))


def write(folder: Path) -> None:
    (folder / "file").write_text("whole", encoding="utf-8")


def test_an_entry_is_made_once() -> None:
    made = []
    for _ in range(2):
        folder = cache.entry("kind/name", lambda making: (made.append(making), write(making)))  # type: ignore[func-returns-value]
        assert (folder / "file").read_text(encoding="utf-8") == "whole"
    assert len(made) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DeviceError("no", remedy="none")])
def test_nothing_remains_of_one_that_was_interrupted(error: BaseException, tmp_path: Path) -> None:
    def interrupted(making: Path) -> None:
        write(making)
        raise error

    with pytest.raises(type(error)):
        cache.entry("kind/name", interrupted)
    assert list((tmp_path / "cache" / "kind").iterdir()) == []
    assert cache.entry("kind/name", write).is_dir()


def test_of_two_that_make_the_same_the_first_is_kept(tmp_path: Path) -> None:
    def overtaken(making: Path) -> None:
        write(making)
        first = cache.entry("kind/name", write)
        (first / "first").touch()

    assert (cache.entry("kind/name", overtaken) / "first").exists()
    assert [path.name for path in (tmp_path / "cache" / "kind").iterdir()] == ["name"]


def test_a_cache_that_cannot_be_written_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path / "file"))
    with pytest.raises(DeviceError, match="cannot be written") as failure:
        cache.entry("kind/name", write)
    assert cache.ENVIRONMENT in failure.value.remedy


def test_it_lies_where_the_desktop_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(cache.ENVIRONMENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "mobilevit-deploy"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.root() == Path(os.path.expanduser("~")) / ".cache" / "mobilevit-deploy"  # noqa: PTH111
