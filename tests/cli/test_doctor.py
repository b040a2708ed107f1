"""``doctor``: versions, and what is missing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_complete_installation_is_well(cli: Cli) -> None:
    done = cli("doctor", "--json")
    assert done.returncode == 0, done.stdout
    findings = json.loads(done.stdout)
    assert findings["torch"].startswith("2.")
    assert findings["targets"]["onnx"]["libraries"]["onnxruntime"]


def test_target_that_lacks_its_library_is_reported_with_the_command_that_mends_it(
    cli: Cli, tmp_path: Path
) -> None:
    """A third party's target whose library is not installed, registered by its own distribution."""
    info = tmp_path / "site" / "lame-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lame\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mobilevit_deploy.targets]\nlame = lame:Lame\n")
    (tmp_path / "site" / "lame.py").write_text(
        "from mobilevit_deploy.target import Availability\n"
        "class Lame:\n"
        "    name, suffix, extra, converters = 'lame', '.l', '', ('crutch',)\n"
        "    libraries, precisions = ('crutch',), {'fp32': None}\n"
        "    def availability(self):\n"
        "        return Availability(False, '', 'crutch is not installed', 'pip install crutch')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = cli("doctor", env=environment)
    assert done.returncode == 1
    assert "pip install crutch" in done.stdout
    exported = cli("export", "--target", "lame", env=environment)
    assert exported.returncode == 3
    assert "crutch is not installed" in exported.stderr
    assert "pip install crutch" in exported.stderr
