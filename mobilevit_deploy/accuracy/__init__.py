"""Accuracy: an artifact's answers to labelled pictures, beside the reference's and beside the truth.

Parity asks whether a file computes what the model computes; where it computes in 8 bits, the answer is
"nearly", and what counts is how many answers change. ``pictures`` brings labelled pictures, ``evaluate`` runs
them, ``gate`` judges what came of it, ``result`` is what a manifest keeps.
"""
