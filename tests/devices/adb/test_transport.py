"""Files and commands over adb: a real adb client and server against a daemon on loopback, or a real phone."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mobilevit_deploy.devices.adb import AdbTransport

SERIAL = os.environ.get("MOBILEVIT_DEPLOY_TEST_SERIAL")

HOSTILE = [
    "plain.bin",
    "two words",
    "semi;colon",
    "$(reboot)",
    "`reboot`",
    'quote\'s "quotes"',
    "star*?[a]",
    "a,b",
    "-rf",
    "back\\slash",
    "new\nline",
    "größe 模型",
]
"""Names that mean something to a shell, to adb's own protocol, or to nobody."""


@pytest.fixture(
    params=[
        "today",
        "before Android 7",
        pytest.param(
            "a real phone",
            marks=[
                pytest.mark.phone,
                pytest.mark.skipif(SERIAL is None, reason="MOBILEVIT_DEPLOY_TEST_SERIAL names no phone"),
            ],
        ),
    ]
)
def transport(request: pytest.FixtureRequest) -> Iterator[AdbTransport]:
    if request.param == "a real phone":
        yield AdbTransport(SERIAL)
    else:
        connect: Callable[..., object] = request.getfixturevalue("connect")
        options = {"features": ()} if request.param == "before Android 7" else {}
        yield connect(**options).transport()


@pytest.fixture
def folder(transport: AdbTransport) -> Iterator[str]:
    """A folder of this test's own on the device."""
    path = f"{transport.folder}/test-{uuid.uuid4().hex[:8]}"
    yield path
    transport.remove(path)


def file_of(folder: Path, content: bytes, mode: int = 0o644) -> Path:
    path = folder / "local"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_of_a_command_survives(transport: AdbTransport, code: int) -> None:
    ended = transport.run(["sh", "-c", f"echo out; exit {code}"], timeout_s=10)
    assert (ended.code, ended.stdout) == (code, "out\n")


def test_output_without_a_line_end_stays_as_it_is(transport: AdbTransport) -> None:
    assert transport.run(["printf", "%s", "7 8"], timeout_s=10).stdout == "7 8"


def test_a_program_that_does_not_exist_is_told_by_its_code(transport: AdbTransport) -> None:
    ended = transport.run(["no-such-program"], timeout_s=10)
    assert ended.code == 127
    assert "not found" in ended.stderr + ended.stdout


@pytest.mark.parametrize("word", HOSTILE)
def test_words_reach_the_program_as_they_are(transport: AdbTransport, word: str) -> None:
    assert transport.run(["printf", "%s|", "--", word], timeout_s=10).stdout.endswith(f"{word}|")


def test_a_program_that_reads_its_input_does_not_wait_for_one(transport: AdbTransport) -> None:
    assert transport.run(["cat"], timeout_s=10).stdout == ""


def test_a_long_output_arrives_whole(transport: AdbTransport) -> None:
    ended = transport.run(
        ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done"], timeout_s=60
    )
    assert ended.stdout.split() == [str(number) for number in range(20000)]


@pytest.mark.parametrize("content", [b"", b"\0", os.urandom(65536), os.urandom(1_000_001)], ids=len)
def test_what_is_pushed_comes_back_the_same(
    transport: AdbTransport, folder: str, tmp_path: Path, content: bytes
) -> None:
    transport.push(file_of(tmp_path, content), f"{folder}/sub/file")
    assert transport.pull(f"{folder}/sub/file") == content
    assert transport.sizes(f"{folder}/sub") == {"file": len(content)}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_names(transport: AdbTransport, folder: str, tmp_path: Path, name: str) -> None:
    transport.push(file_of(tmp_path, b"content"), f"{folder}/{name}")
    assert transport.sizes(folder) == {name: 7}
    assert transport.pull(f"{folder}/{name}") == b"content"
    transport.remove(f"{folder}/{name}")
    assert transport.sizes(folder) == {}


def test_a_pushed_program_can_be_run_and_replaced(
    transport: AdbTransport, folder: str, tmp_path: Path
) -> None:
    for answer in ("first", "second"):
        program = file_of(tmp_path, f"echo {answer} $1\n".encode(), 0o755)
        transport.push(program, f"{folder}/program")
        assert transport.run(["sh", f"{folder}/program", "x"], timeout_s=10).stdout == f"{answer} x\n"
    assert transport.run(["test", "-x", f"{folder}/program"], timeout_s=10).code == 0


def test_what_is_not_there_is_empty_and_can_be_removed(transport: AdbTransport, folder: str) -> None:
    assert transport.sizes(folder) == {}
    transport.remove(folder)


def test_folders_are_no_files(transport: AdbTransport, folder: str, tmp_path: Path) -> None:
    transport.push(file_of(tmp_path, b"1"), f"{folder}/sub/file")
    assert transport.sizes(folder) == {}
