"""Importing coremltools: quickly, silently, and without a trace on other imports."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest
from mobilevit_deploy.targets.coreml import toolkit
from mobilevit_deploy.targets.coreml.toolkit import load_coremltools, quiet

from mobilevit_deploy.errors import TargetError


def fresh(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_import_prints_nothing_and_brings_in_none_of_the_unused_libraries() -> None:
    done = fresh(
        "import sys\n"
        "from mobilevit_deploy.targets.coreml.toolkit import load_coremltools\n"
        "load_coremltools()\n"
        "loaded = {'executorch', 'sklearn', 'tensorflow', 'torchao', 'transformers'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_libraries_that_others_imported_before_are_theirs_afterwards() -> None:
    done = fresh(
        "import sys, types\n"
        "theirs = sys.modules['torchao'] = types.ModuleType('torchao')\n"
        "from mobilevit_deploy.targets.coreml.toolkit import load_coremltools\n"
        "load_coremltools()\n"
        "assert sys.modules['torchao'] is theirs\n"
        "assert 'sklearn' not in sys.modules\n"
        "import sklearn\n"
    )
    assert done.returncode == 0, done.stderr


def test_broken_installation_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(TargetError, match="cannot be imported") as caught:
        load_coremltools()
    assert caught.value.remedy.startswith("pip install")
    assert all(sys.modules.get(name, "absent") is not None for name in toolkit._UNUSED)


def test_quiet_swallows_logs_and_warnings_but_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    def convert() -> None:
        with quiet():
            logging.getLogger("coremltools").warning("careful")
            warnings.warn("old", FutureWarning, stacklevel=1)
            print("50 %", file=sys.stderr)
            raise ValueError("loud")

    with pytest.raises(ValueError, match="loud"):
        convert()
    assert capsys.readouterr().err == ""
