"""``report``: a folder of artifacts as text, JSON, Markdown and HTML."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_text_begins_with_the_verdict(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    done = cli("report", artifact_copy("toy").parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 of 1 artifact equals the reference")


def test_files_are_written_whole(cli: Cli, artifact_copy: Callable[..., Path], tmp_path: Path) -> None:
    artifact_copy("toy")
    done = cli("report", tmp_path, "--html", "page.html", "--markdown", "new/page.md", "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert "1 of 1 artifact equals the reference" in (tmp_path / "new" / "page.md").read_text()


def test_report_that_cannot_be_written(cli: Cli, artifact_copy: Callable[..., Path]) -> None:
    done = cli("report", artifact_copy("toy").parent, "--html", "/proc/page.html")
    assert done.returncode == 3
    assert "Cannot write" in done.stderr


def test_folder_without_artifacts(cli: Cli, tmp_path: Path) -> None:
    done = cli("report", tmp_path)
    assert done.returncode != 0
    assert "Next:" in done.stderr
