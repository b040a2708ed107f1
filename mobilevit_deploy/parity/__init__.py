"""Parity: the file on disk, run by its runtime, against the PyTorch reference.

``metrics`` measures one output, ``tolerance`` says what is allowed, ``cases`` makes the inputs, ``compare``
joins them into a ``ParityResult``. Metrics are always computed before any verdict.
"""
