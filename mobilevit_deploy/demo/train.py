"""Train a bundled demo model on a CPU: ``python -m mobilevit_deploy.demo.train --task TASK --output DIR``.

Sizes grow as training goes on: small pictures teach the classes cheaply, a short finish at 256 pixels adapts
the model to the size at which it is deployed. No picture is shown twice. An interrupted run goes on where it
last saved its state. The classifier comes first: a segmenter starts from its backbone.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.distributed
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from mobilevit_deploy.demo import demo_checkpoint
from mobilevit_deploy.demo.card import Origin, model_card
from mobilevit_deploy.demo.evaluate import HELD_OUT, evaluate, processor_for, table_of
from mobilevit_deploy.demo.shapes import generate
from mobilevit_deploy.demo.tasks import TASKS, DemoModel, DemoTask, TaskName
from mobilevit_deploy.output import output_folder

BATCH = 64
WARM_UP = 0.05
WEIGHT_DECAY = 0.02
GRADIENT_NORM = 1.0

SAVE_EVERY = 64
"""Batches between two saved states."""

STATE = "training-state.pt"


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, apart from the code."""

    task_name: TaskName
    backbone: Path | None
    pictures: int
    seed: int
    processes: int
    bfloat16: bool

    @property
    def task(self) -> DemoTask:
        """What is learned."""
        return TASKS[self.task_name]

    @property
    def batches(self) -> int:
        """Optimizer steps in all."""
        return -(-self.pictures // BATCH)

    def image_size(self, batch: int) -> int:
        """Return the side of the pictures of one batch."""
        sizes = self.task.schedule.sizes
        ends = itertools.accumulate(sizes.values())
        return next(size for size, end in zip(sizes, ends, strict=True) if batch < end * self.batches)

    def difficulty(self, batch: int) -> float:
        """Return how hard the pictures of one batch are, from 0 to 1."""
        ramp = self.task.schedule.ramp * self.batches
        return min(batch / ramp, 1.0) if ramp else 1.0

    def learning_rate(self, batch: int) -> float:
        """Return a linear warm-up, then a linear descent to 0."""
        progress = (batch + 0.5) / self.batches
        rise_and_fall = min(progress / WARM_UP, (1 - progress) / (1 - WARM_UP))
        return self.task.schedule.peak_learning_rate * rise_and_fall

    def new_model(self) -> DemoModel:
        """Return the model before its training, the same in every process."""
        torch.manual_seed(self.seed)
        return self.task.new_model(self.backbone)


def train(recipe: Recipe, output: Path) -> tuple[DemoModel, float]:
    """Train in ``recipe.processes`` processes, keeping the state in ``output``.

    One process a core, each with one thread and its share of every batch, draws its own pictures: on a busy
    machine this is faster than one process with threads, which wait for each other in every operation.

    Returns:
        The model, and the minutes that it took, without the time between an interrupted run and the next.
    """
    with tempfile.TemporaryDirectory() as meeting:
        arguments = (recipe, output / STATE, f"file://{meeting}/processes")
        spawn(_train_share, arguments, nprocs=recipe.processes)  # type: ignore[no-untyped-call]
    model = recipe.new_model()
    saved = torch.load(output / STATE, weights_only=True)
    model.load_state_dict(saved["model"])
    return model.eval(), saved["seconds"] / 60


def _train_share(rank: int, recipe: Recipe, state: Path, meeting: str) -> None:
    """Run one process of the training: everything but the pictures is the same in all of them."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=recipe.processes)
    # A third faster on a CPU, and twice as fast together with bfloat16.
    model = recipe.new_model().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
    first, seconds = _resume(state, model, optimizer)
    started = time.monotonic() - seconds
    replica = DistributedDataParallel(model)
    console = Console(quiet=rank > 0)
    scores = []
    for batch in _progress(recipe, first, console):
        scores.append(_step(replica, optimizer, recipe, batch, rank))
        last = batch + 1 == recipe.batches
        if rank == 0 and (last or (batch + 1) % SAVE_EVERY == 0):
            saved = {
                "batch": batch + 1,
                "seconds": time.monotonic() - started,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            torch.save(saved, state.with_suffix(".new"))
            state.with_suffix(".new").replace(state)
            size, score = recipe.image_size(batch), sum(scores) / len(scores)
            console.print(f"batch {batch + 1} at {size}x{size}: training {recipe.task.measure} {score:.1%}")
            scores.clear()
    torch.distributed.destroy_process_group()


def _resume(state: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """Load the state of an interrupted run if there is one; return its next batch and the seconds it took."""
    if not state.exists():
        return 0, 0.0
    saved = torch.load(state, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["batch"]), float(saved["seconds"])


def _progress(recipe: Recipe, first: int, console: Console) -> Iterator[int]:
    """Yield the numbers of the batches that are left, under a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=recipe.batches, completed=first)
        for batch in range(first, recipe.batches):
            size = recipe.image_size(batch)
            yield batch
            progress.update(task, advance=1, description=f"training at {size}x{size}")


def _step(
    replica: DistributedDataParallel, optimizer: torch.optim.Optimizer, recipe: Recipe, batch: int, rank: int
) -> float:
    """Take one optimizer step on this process's share of a batch; return how good its answers were."""
    share = BATCH // recipe.processes
    first = recipe.task.schedule.first + batch * BATCH + rank * share
    size, difficulty = recipe.image_size(batch), recipe.difficulty(batch)
    samples = [generate(first + k, image_size=size, difficulty=difficulty) for k in range(share)]
    pixels, truth = recipe.task.examples(samples, size)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
        logits = replica(pixels.contiguous(memory_format=torch.channels_last)).logits.float()
    loss = recipe.task.loss(logits, truth)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(replica.parameters(), GRADIENT_NORM)
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate(batch)
    optimizer.step()
    return recipe.task.score(logits.detach(), truth)


def publish(model: DemoModel, output: Path, *, recipe: Recipe, minutes: float) -> None:
    """Write a Hugging Face folder with a model card that states the scores of the stored weights."""
    model.save_pretrained(output, dtype=torch.float16)
    processor_for(256).save_pretrained(output)
    # The file is what users run, so the rounded weights are what is measured.
    scores = evaluate(type(model).from_pretrained(output), processor_for(256), count=HELD_OUT)
    origin = Origin(
        pictures=recipe.batches * BATCH,
        command=_command(recipe, output),
        backbone=recipe.backbone.name if recipe.backbone else None,
        minutes=minutes,
        machine=f"{recipe.processes} CPU cores",
    )
    parameters = sum(weight.numel() for weight in model.parameters())
    card = model_card(scores, origin=origin, held_out=HELD_OUT, parameters=parameters)
    (output / "README.md").write_text(card, encoding="utf-8")
    Console().print(table_of(scores))


def _command(recipe: Recipe, output: Path) -> str:
    backbone = f" --backbone {recipe.backbone.name}" if recipe.backbone else ""
    return (
        f"python -m mobilevit_deploy.demo.train --task {recipe.task_name}{backbone} --output {output.name} "
        f"--pictures {recipe.pictures}"
    )


def main(
    output: Annotated[Path, typer.Option(help="Folder for the checkpoint; made if need be.")],
    task: Annotated[TaskName, typer.Option(help="What to learn.")] = TaskName.CLASSIFICATION,
    backbone: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to start from; segmentation's default is the bundled classifier."),
    ] = None,
    pictures: Annotated[
        int | None,
        typer.Option(min=BATCH, help="Generated pictures to train on; the task says unless given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="CPU cores to use.")] = 2,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16/--float32", help="float32 is faster on CPUs without bfloat16 units.")
    ] = True,
) -> None:
    """Train a demo model, measure it on the held-out pictures, and write it as a Hugging Face folder."""
    if task is TaskName.SEGMENTATION:
        backbone = backbone or demo_checkpoint()
    recipe = Recipe(
        task_name=task,
        backbone=backbone,
        pictures=pictures or TASKS[task].schedule.pictures,
        seed=seed,
        processes=processes,
        bfloat16=bfloat16,
    )
    model, minutes = train(recipe, output_folder(output))
    publish(model, output, recipe=recipe, minutes=minutes)
    (output / STATE).unlink()


if __name__ == "__main__":
    typer.run(main)
