"""Run the pictures of a parity check through the reference and through whatever runs the artifact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mobilevit_deploy.parity.cases import parity_cases
from mobilevit_deploy.parity.compare import compare
from mobilevit_deploy.parity.result import ParityResult
from mobilevit_deploy.parity.tolerance import Tolerance
from mobilevit_deploy.reference import Reference, app_preprocessing, reference_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mobilevit_deploy.artifact import Artifact

    Outputs = tuple[NDArray[Any], ...]

Run = Callable[[Sequence["NDArray[Any]"]], tuple[str, Sequence["Outputs"]]]
"""Runs the artifact on each input, here or on a device; returns the engine and the outputs of each."""


def prove(artifact: Artifact, tolerance: Tolerance, reference: Reference, run: Run) -> ParityResult:
    """Compare what ``run`` computes with the reference.

    Both start from the picture: scale and channel order are under test, wherever they happen.

    Args:
        artifact: one input, one output.
        tolerance: what is allowed.
        reference: fed as the artifact's manifest says, see ``pipeline.reference_of``.
        run: is called once, with all inputs.
    """
    cases = parity_cases(reference.preprocess)
    (given,), (wanted,) = artifact.inputs, artifact.outputs
    preprocess = app_preprocessing(reference, given)
    # The reference computes while the artifact is run: on another core, or while a phone is busy.
    with ThreadPoolExecutor(max_workers=1) as pool:
        expected = [pool.submit(reference_output, reference, case.picture, wanted) for case in cases]
        try:
            engine, produced = run([preprocess.feed(case.picture, given) for case in cases])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return compare(
        artifact.outputs,
        [case.name for case in cases],
        [(output.result(),) for output in expected],
        produced,
        tolerance=tolerance,
        engine=engine,
        image_size=reference.image_size,
    )
