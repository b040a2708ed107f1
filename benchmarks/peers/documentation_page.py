"""The recipe on MobileViT's documentation page: TFMobileViT, ``Optimize.DEFAULT``, select TF operators.

transformers 5 has no TensorFlow classes any more, so this peer builds itself an environment with the last
transformers that has; ``documentation_page_convert.py`` runs there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "documentation_page_requirements.txt"
ENVIRONMENT = _HERE.parent.parent / ".peers" / "documentation-page-venv"


class DocumentationPage:
    name = "documentation page"
    runtime = "tflite"
    precision = "int8-dynamic"
    libraries = ()  # pinned in the requirements

    def export(self, checkpoint: Path, out: Path) -> None:
        python = _environment()
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error"}
        subprocess.run(
            [python, _HERE / "documentation_page_convert.py", checkpoint, out],
            env={**os.environ, **quiet, "TF_USE_LEGACY_KERAS": "1"},
            check=True,
        )


def _environment() -> Path:
    """The environment's Python; built if it is not there, or was built for other requirements."""
    python, built_for = ENVIRONMENT / "bin" / "python", ENVIRONMENT / _REQUIREMENTS.name
    wanted = _REQUIREMENTS.read_text()
    if not built_for.exists() or built_for.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", _REQUIREMENTS], check=True)
        built_for.write_text(wanted)  # last: an environment that was cut short is built again
    return python


PEER = DocumentationPage()
