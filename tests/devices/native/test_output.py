"""What a runner answers is read strictly: half an answer is none."""

from __future__ import annotations

import pytest

from mobilevit_deploy.devices.native import output
from mobilevit_deploy.devices.transport import Completed
from mobilevit_deploy.errors import SessionError

TIMES = (
    '{"runtime":"litert","mode":"time","affinity":"f0","load_ms":8.1,"first_ms":1.5,'
    '"warmup_ms":[0.7,0.6],"samples_ms":[0.5,0.5]}'
)


def test_the_last_line_counts_whatever_the_runtime_printed() -> None:
    times = output.parse(f'INFO: {{"runtime":"other"}}\n\n{TIMES}\n', output.Times)
    assert times.affinity == "f0"
    assert times.warmup_ms == (0.7, 0.6)


@pytest.mark.parametrize("length", range(0, len(TIMES), 7))
def test_a_truncated_answer_is_refused(length: int) -> None:
    with pytest.raises(SessionError, match="answer cannot be read"):
        output.parse(TIMES[:length], output.Times)


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ('"samples_ms":[0.5,0.5]', '"samples_ms":[]'),
        ('"samples_ms":[0.5,0.5]', '"samples_ms":[0.5,0]'),
        ('"samples_ms":[0.5,0.5]', '"samples_ms":[0.5,-1]'),
        ('"load_ms":8.1', '"load_ms":"8.1"'),
        ('"load_ms":8.1', '"load_ms":NaN'),
        ('"load_ms":8.1', '"load_ms":8.1,"more":1'),
        ('"affinity":"f0"', '"affinity":"0xf0"'),
        ('"mode":"time"', '"mode":"memory"'),
    ],
)
def test_a_number_that_no_clock_gives_is_refused(word: str, instead: str) -> None:
    assert word in TIMES
    with pytest.raises(SessionError, match="answer cannot be read"):
        output.parse(TIMES.replace(word, instead), output.Times)


def test_memory_that_the_kernel_does_not_tell_is_none() -> None:
    told = (
        '{"runtime":"litert","mode":"memory","affinity":"1",'
        '"library_rss_bytes":1,"peak_rss_bytes":2,"pss_bytes":null}'
    )
    assert output.parse(told, output.Memory).pss_bytes is None


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("INFO: loading\nrun: a.tflite is not a file\nINFO: bye\n", r"device: a\.tflite is not a file\."),
        ("CANNOT LINK EXECUTABLE\n", r"device: CANNOT LINK EXECUTABLE\."),
        ("", r"device: it ended with code 139\."),
    ],
)
def test_a_failure_is_told_in_the_runners_own_words(stderr: str, reason: str) -> None:
    with pytest.raises(SessionError, match=reason):
        output.read(Completed(("run",), 139, TIMES, stderr), output.Times)
