"""Nothing half-written, whatever happens."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.output import output_folder, remove_abandoned, staging, write_text


def test_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert output_folder(tmp_path / "a" / "b").is_dir()


def test_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file"):
        output_folder(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        output_folder(tmp_path / "new")


def test_folder_on_a_read_only_file_system() -> None:
    with pytest.raises(OutputError, match="/proc"):
        output_folder(Path("/proc/exports"))


def test_staging_is_removed_when_the_work_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with staging(tmp_path) as stage:
            (stage / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_staging_folder_of_a_killed_process_is_removed_and_that_of_a_live_one_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".mobilevit-deploy-{dead.pid}-x").mkdir()
    live = tmp_path / f".mobilevit-deploy-{os.getpid()}-x"
    live.mkdir()
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [live]


def test_full_disk_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    """A file-size limit makes writing fail midway, as a full disk does."""
    report = tmp_path / "report.html"
    write_text(report, "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OutputError, match="File too large") as caught:
            write_text(report, "new" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "another folder" in caught.value.remedy
    assert report.read_text() == "old"
    assert list(tmp_path.iterdir()) == [report]
