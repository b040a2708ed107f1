"""What a target may deviate from the reference, and still be called equal."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Tolerance(BaseModel):
    """Bounds on the worst input of a parity check; ``None`` sets no bound.

    Attributes:
        max_error: largest absolute error, as a fraction of the reference output's spread (max - min).
        min_cosine: smallest cosine similarity.
        min_sqnr_db: smallest ratio of the outputs' mean power to that of a picture's error, in dB.
        min_extremes_sqnr_db: likewise on black, white and saturated noise (``cases.EXTREMES``), whose own
            power counts where it is above the mean; ``min_sqnr_db`` unless given.
        min_top1: smallest share of inputs, 0 to 1, on which the best class is the reference's.
        min_pixels: smallest share of pixels, 0 to 1, likewise, for segmentation.
        tie: classes whose scores are this close in the reference, as a fraction of the spread, are equally
            good: which of them comes first, rounding decides.
    """

    model_config = ConfigDict(frozen=True)

    max_error: float | None = None
    min_cosine: float | None = None
    min_sqnr_db: float | None = None
    min_extremes_sqnr_db: float | None = None
    min_top1: float = 1.0
    min_pixels: float = 0.999
    tie: float = 0.0


FP32 = Tolerance(max_error=1e-4, min_cosine=0.99999, tie=2e-4)
"""Float32 arithmetic in another order: rounding differs in the last bits, decisions do not."""

FP16 = Tolerance(min_sqnr_db=40.0, tie=1e-2)
"""Float16 keeps 11 significant bits; about 60 dB survive a network of this depth, 40 dB mean a defect."""
