"""The example workflows are YAML that GitHub takes, and their commands are ones that the CLI takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mobilevit_deploy.cli.app import app

EXAMPLES = sorted((Path(__file__).parents[1] / ".github" / "examples").glob("*.yml"))


def steps(path: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    assert {"name", True, "jobs"} <= document.keys()
    return [step for job in document["jobs"].values() for step in job["steps"]]


def commands(path: Path) -> Iterator[list[str]]:
    for step in steps(path):
        for line in step.get("run", "").splitlines():
            words = shlex.split(line)
            if words and words[0] == "mobilevit-deploy":
                yield words[1:]


def parse(words: list[str]) -> dict[str, Any]:
    """Parse a command line as the CLI does, without running it."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("mobilevit-deploy", list(words))
    name, command, rest = group.resolve_command(context, list(words))
    parameters: dict[str, Any] = command.make_context(name, rest, parent=context).params
    return parameters


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["parity-and-latency", "phone"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_step_does_something(path: Path) -> None:
    for step in steps(path):
        assert ("run" in step) != ("uses" in step), step


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_outputs_are_those_of_steps_before(path: Path) -> None:
    known: set[str] = set()
    for step in steps(path):
        for word in str(step.get("if", "")).split():
            if word.startswith("steps."):
                assert word.split(".")[1] in known
        known.add(step.get("id", ""))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            words,
            id=f"{path.stem}: {' '.join(words[:4])} {number}",
        )
        for path in EXAMPLES
        for number, words in enumerate(commands(path))
    ],
)
def test_commands_are_those_of_the_command_line(words: list[str]) -> None:
    assert parse(words)


def test_an_option_that_does_not_exist_is_found_out() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["bench", "--no-such-option"])
