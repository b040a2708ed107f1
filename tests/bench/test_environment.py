"""The machine as it is here."""

from __future__ import annotations

import os
import platform

import numpy as np
import pytest

from mobilevit_deploy.bench import environment


def test_this_machine_is_described() -> None:
    here = environment.machine(["numpy", "no-such-distribution"])
    assert here.cores >= here.usable_cores >= 1
    assert here.kernel == platform.release()
    assert here.cpu
    assert here.memory_bytes > 1e8
    assert here.libraries == {"numpy": np.__version__}


def test_its_conditions_are_described() -> None:
    now = environment.conditions()
    assert 0 <= now.busy <= 1
    assert 0 < now.memory_available_bytes < environment.machine().memory_bytes
    assert len(now.load_average) == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="macOS has no affinity")
def test_cores_that_this_process_may_not_use_do_not_count() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert environment.machine().usable_cores == 1
    finally:
        os.sched_setaffinity(0, allowed)
