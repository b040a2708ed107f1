"""The processes that ``bench_peers`` starts: one makes a file, one checks it, one takes samples of it.

    python -m benchmarks.comparison.worker export|check|sample ANSWER < REQUEST

A converter leaves gigabytes behind, and a runtime that dies takes one process along.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from benchmarks.comparison.entries import OURS, Accuracy, Entry, Turn
from benchmarks.comparison.files import open_file
from benchmarks.peers import all_peers

PICTURES = 240
"""Held-out pictures that a file is checked on."""


class Request(BaseModel):
    """What to work on; ``round`` and ``samples`` are for ``sample``."""

    entry: Entry
    checkpoint: Path
    folder: Path
    round: int = 0
    samples: int = 0


def export(request: Request) -> Entry:
    """Make the file."""
    key, started = request.entry.key, time.monotonic()
    if key.maker == OURS:
        from mobilevit_deploy import export as export_ours

        # A random head decides nothing: 8-bit files of S may fail parity's bound on decisions and lie in the
        # subfolder `failed`. `check` measures everyone's accuracy alike.
        exported = export_ours(
            str(request.checkpoint),
            target=key.runtime,
            precision=key.precision,
            gate=False,
            output=request.folder / "ours",
        )
        path, libraries = exported.path, exported.manifest.libraries
    else:
        (peer,) = (p for p in all_peers() if (p.name, p.runtime) == (key.maker, key.runtime))
        from mobilevit_deploy.target import get_target

        path = request.folder / f"{key.label}{get_target(key.runtime).suffix}"
        path.unlink(missing_ok=True)  # some tools refuse to write over a file
        peer.export(request.checkpoint, path)
        libraries = {name: version(name) for name in peer.libraries}
    return request.entry.model_copy(
        update={
            "path": path,
            "bytes": path.stat().st_size,
            "export_s": round(time.monotonic() - started, 1),
            "libraries": libraries,
        }
    )


def check(request: Request) -> Entry:
    """Run the file on held-out pictures, and compare with the reference."""
    from mobilevit_deploy import load_model
    from mobilevit_deploy.demo.shapes import CLASSES, generate
    from mobilevit_deploy.parity.metrics import sqnr_db
    from mobilevit_deploy.reference import app_preprocessing

    reference = load_model(str(request.checkpoint))
    assert request.entry.path is not None
    session = open_file(request.entry.path, request.entry.key.runtime)
    preprocess = app_preprocessing(reference, session.input)
    stored = request.folder / f"reference-{reference.weights_sha256()[:12]}.npy"
    known = np.load(stored) if stored.exists() else None
    expected, produced, labels = [], [], []
    for index in range(PICTURES):
        sample = generate(index, split="heldout")
        if known is None:
            expected.append(reference.run(reference.preprocess.apply(sample.image))[0])
        given = session.prepare(preprocess.feed(sample.image, session.input))
        produced.append(session.run(given)[0].ravel())
        labels.append(sample.label)
    if known is None:
        known = np.stack(expected)
        np.save(stored, known)
    chosen = np.stack(produced).argmax(1)
    accuracy = Accuracy(
        sqnr_db=round(sqnr_db(known, np.stack(produced)), 2),
        agreement=float((chosen == known.argmax(1)).mean()),
        top1=float((chosen == labels).mean()) if reference.labels == CLASSES else None,
        pictures=PICTURES,
    )
    return request.entry.model_copy(update={"accuracy": accuracy})


def sample(request: Request) -> Turn:
    """Take samples of the file."""
    from mobilevit_deploy.bench import environment
    from mobilevit_deploy.bench.sampling import sample as take

    key, path = request.entry.key, request.entry.path
    assert path is not None
    rehearsal = open_file(path, key.runtime)  # importing the runtime is no part of loading a model
    given, random = rehearsal.input, np.random.default_rng(0)
    noise = rehearsal.prepare(
        random.integers(0, 256, given.shape, np.uint8)
        if given.dtype == "uint8"
        else random.random(given.shape, np.float32)
    )
    rehearsal.close()
    before = environment.conditions()
    taken = take(lambda: open_file(path, key.runtime), (noise,), request.samples)  # type: ignore[arg-type,return-value]
    return Turn(key=key, round=request.round, busy_before=before.busy or 0.0, **vars(taken))


TASKS: dict[str, Callable[[Request], Entry | Turn]] = {"export": export, "check": check, "sample": sample}


def main() -> None:
    task, answer = sys.argv[1:]
    request = Request.model_validate_json(sys.stdin.buffer.read())
    Path(answer).write_text(TASKS[task](request).model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
