"""Latency of artifacts: what is measured, in which order, and what the samples say.

``measurement`` is the record of one process, ``schedule`` makes and stores the records, ``statistics`` sums
them up, ``environment`` describes the machine that they came from.
"""
