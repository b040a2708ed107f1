"""Our files beside those that other people's exporters make of the same weights.

    make bench-peers      # or: python -m benchmarks.bench_peers --only onnx --model s --rounds 3

Makes every file that is not there yet, each in a process of its own, and checks what it computes; then times
all of them in turns (A B C A B C), each turn in a new process with one thread. Every sample with the machine,
the tables and the plot go to ``benchmarks/results/``. Files stay in ``.peers/``: a second run only times.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.comparison.checkpoints import MODELS, checkpoint
from benchmarks.comparison.entries import OURS, Entry, Key, Turn
from benchmarks.comparison.report import write_report
from benchmarks.comparison.results import Results
from benchmarks.comparison.worker import Request
from benchmarks.peers import all_peers
from mobilevit_deploy.bench import environment
from mobilevit_deploy.target import get_target

ROOT = Path(__file__).resolve().parent.parent
RUNTIMES = ("tflite", "executorch", "onnx")
EXPORT_LIMIT_S, SAMPLE_LIMIT_S = 1800, 300

console = Console(stderr=True, highlight=False)


def main() -> None:
    arguments = _arguments()
    made: list[Entry] = []
    checkpoints: dict[str, Path] = {}
    for model in arguments.model:
        folder = (arguments.cache / model).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        console.print(f"weights of {model}")
        checkpoints[model] = checkpoint(model, folder)
        made += [_made(key, checkpoints[model], folder) for key in _keys(model, arguments.only)]
    turns = _timed(made, checkpoints, arguments) if arguments.rounds else []
    results = Results(
        made_at=datetime.now(UTC),
        machine=environment.machine(
            sorted({library for runtime in arguments.only for library in get_target(runtime).libraries})
        ),
        entries=made,
        turns=turns,
    )
    for path in write_report(results, arguments.output):
        console.print(str(path))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", choices=list(MODELS), help="default: all")
    parser.add_argument("--only", action="append", choices=RUNTIMES, help="runtime; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="processes a file; 0 only makes the files")
    parser.add_argument("--samples", type=int, default=30, help="inferences a process, after the warm-up")
    parser.add_argument("--cache", type=Path, default=ROOT / ".peers", help="where files stay")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    arguments.model = arguments.model or list(MODELS)
    arguments.only = arguments.only or list(RUNTIMES)
    return arguments


def _keys(model: str, runtimes: Iterable[str]) -> list[Key]:
    peers = [(peer.runtime, peer.name, peer.precision) for peer in all_peers()]
    ours = [
        (runtime, OURS, str(precision))
        for runtime in runtimes
        for precision in get_target(runtime).precisions
    ]
    return [
        Key(model=model, runtime=runtime, maker=maker, precision=precision)
        for wanted in runtimes
        for runtime, maker, precision in (*peers, *ours)
        if runtime == wanted
    ]


def _made(key: Key, weights: Path, folder: Path) -> Entry:
    """The entry that was kept, if nothing that it depends on has changed since; otherwise a new one."""
    kept = folder / f"{key.label}.entry.json"
    fingerprint = _fingerprint(key, weights)
    if kept.exists():
        entry = Entry.model_validate_json(kept.read_text(encoding="utf-8"))
        if entry.fingerprint == fingerprint and (entry.path is None or entry.path.exists()):
            console.print(f"  kept   {key.label}")
            return entry
    entry = Entry(key=key, fingerprint=fingerprint)
    request = Request(entry=entry, checkpoint=weights, folder=folder)
    for task in ("export", "check"):
        with console.status(f"  {task} {key.label}"):
            answer = _process(task, request, EXPORT_LIMIT_S, folder / f"{key.label}.{task}.log")
        if isinstance(answer, str):
            entry = request.entry.model_copy(update={"failure": f"{task}: {answer}"})
            break
        entry = Entry.model_validate_json(answer)
        request = request.model_copy(update={"entry": entry})
    if entry.failure is None:  # what failed is tried again by the next run
        kept.write_text(entry.model_dump_json(indent=2) + "\n", encoding="utf-8")
    accuracy = entry.accuracy
    what = f"{accuracy.sqnr_db:.1f} dB, {accuracy.agreement:.1%} agree" if accuracy else entry.failure
    console.print(f"  made   {key.label}: {entry.export_s:.0f} s, {entry.bytes / 1e6:.2f} MB, {what}")
    return entry


def _fingerprint(key: Key, weights: Path) -> str:
    """Of the weights, and of all code that decides what is made of them."""
    if key.maker == OURS:
        sources = [
            *(ROOT / "mobilevit_deploy").rglob("*.py"),
            *(ROOT / "targets" / key.runtime).rglob("*.py"),
        ]
    else:
        sources = [path for path in (ROOT / "benchmarks" / "peers").iterdir() if path.suffix != ".md"]
    files = [weights / "model.safetensors", weights / "config.json", ROOT / ".ci" / "constraints.txt"]
    total = hashlib.sha256()
    for path in sorted([*files, *(source for source in sources if source.is_file())]):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _timed(made: list[Entry], checkpoints: dict[str, Path], arguments: argparse.Namespace) -> list[Turn]:
    """Rounds of turns, one process a file and round."""
    running = [entry for entry in made if entry.accuracy]
    turns = []
    for number in range(1, arguments.rounds + 1):
        for place, entry in enumerate(running, start=1):
            key = entry.key
            request = Request(
                entry=entry,
                checkpoint=checkpoints[key.model],
                folder=arguments.cache,
                round=number,
                samples=arguments.samples,
            )
            what = f"round {number} of {arguments.rounds}, {place} of {len(running)}: {key.label}"
            with console.status(what):
                answer = _process("sample", request, SAMPLE_LIMIT_S)
            if isinstance(answer, str):
                raise SystemExit(f"{key.label} could not be timed: {answer}")
            turns.append(Turn.model_validate_json(answer))
            console.print(f"  {what}: {sorted(turns[-1].samples_ms)[arguments.samples // 2]:.2f} ms")
    return turns


def _process(task: str, request: Request, limit_s: float, log: Path | None = None) -> bytes | str:
    """The worker's answer, or in words what became of it; ``log`` keeps what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "benchmarks.comparison.worker", task, str(answer)],
                input=request.model_dump_json().encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
                check=False,
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        except subprocess.TimeoutExpired:
            return f"not done within {limit_s} s"
        if log is not None:
            log.write_bytes(ended.stdout)
        if answer.exists():
            return answer.read_bytes()
        lines = ended.stdout.decode(errors="replace").strip().splitlines()
        return f"exit code {ended.returncode}: {lines[-1] if lines else 'it said nothing'}"


if __name__ == "__main__":
    main()
