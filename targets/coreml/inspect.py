"""What of an ML program the Neural Engine could run, from the package alone."""

from __future__ import annotations

from pathlib import Path

from mobilevit_deploy.errors import ArtifactError, SessionError
from mobilevit_deploy.inspection import Inspection, judge, summary

from .graph import dataflow, dilated, stored_parameters
from .neural_engine import rules
from .package import read_package

_NEURAL_ENGINE = "neural-engine"


def inspect_package(path: Path) -> Inspection:
    """Count the operations of a package's program, and judge them by what is known of the Neural Engine.

    Raises:
        ArtifactError: it is no ML program, or a damaged one.
    """
    try:
        function = read_package(path).function
    except SessionError as error:
        raise ArtifactError(error.problem, remedy=error.remedy) from error
    flow = dataflow(function)
    found = judge(_NEURAL_ENGINE, flow, rules(dilated(function)), told_by="what is published about it")
    notes = ["Core ML chooses on the device; Xcode's performance report shows its choice."]
    if any(operation.blocks for operation in function.operations):
        notes.append("What lies in branches and loops is not counted.")
    return summary(flow, stored_parameters(flow), [found], *notes)
