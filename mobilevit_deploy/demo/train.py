"""Train the bundled demo model from scratch on a CPU: ``python -m mobilevit_deploy.demo.train --output DIR``.

Sizes grow as training goes on: pictures of 64 to 128 pixels teach the classes cheaply, a short finish at
256 adapts the model to the size at which it is deployed. No picture is shown twice. An interrupted run
goes on where it last saved its state. The bundled checkpoint took 74 minutes on two cores of which other
programs used about three quarters.
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
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from mobilevit_deploy.demo.card import model_card
from mobilevit_deploy.demo.evaluate import HELD_OUT, evaluate, pixel_values, processor_for, table
from mobilevit_deploy.demo.shapes import CLASSES, generate
from mobilevit_deploy.model import MobileViTConfig, MobileViTForImageClassification
from mobilevit_deploy.output import output_folder

BATCH = 64
PEAK_LEARNING_RATE = 3e-3
WARM_UP = 0.05
WEIGHT_DECAY = 0.02
LABEL_SMOOTHING = 0.05
GRADIENT_NORM = 1.0

SIZES = {64: 0.14, 96: 0.41, 128: 0.17, 256: 0.28}
"""Image size -> share of all pictures. A picture at 256 costs as much as ten at 64."""

RAMP = 0.4
"""Share of the training in which the pictures grow from bold to as hard as the held-out ones. If they are
hard from the start, the loss stays at that of guessing for tens of thousands of pictures."""

SAVE_EVERY = 64
"""Batches between two saved states."""

STATE = "training-state.pt"


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, apart from the code."""

    pictures: int
    seed: int
    processes: int
    bfloat16: bool

    @property
    def batches(self) -> int:
        """Optimizer steps in all."""
        return -(-self.pictures // BATCH)

    def image_size(self, batch: int) -> int:
        """Return the side of the pictures of one batch."""
        ends = itertools.accumulate(SIZES.values())
        return next(size for size, end in zip(SIZES, ends, strict=True) if batch < end * self.batches)

    def difficulty(self, batch: int) -> float:
        """Return how hard the pictures of one batch are, from 0 to 1."""
        return min(batch / (RAMP * self.batches), 1.0)

    def learning_rate(self, batch: int) -> float:
        """Return a linear warm-up, then a linear descent to 0."""
        progress = (batch + 0.5) / self.batches
        return PEAK_LEARNING_RATE * min(progress / WARM_UP, (1 - progress) / (1 - WARM_UP))


def train(recipe: Recipe, output: Path) -> MobileViTForImageClassification:
    """Train in ``recipe.processes`` processes, keeping the state in ``output``, and return the model.

    One process a core, each with one thread and its share of every batch, draws its own pictures: on a busy
    machine this is faster than one process with threads, which wait for each other in every operation.
    """
    with tempfile.TemporaryDirectory() as meeting:
        arguments = (recipe, output / STATE, f"file://{meeting}/processes")
        spawn(_train_share, arguments, nprocs=recipe.processes)  # type: ignore[no-untyped-call]
    model = _new_model(recipe)
    model.load_state_dict(torch.load(output / STATE, weights_only=True)["model"])
    return model.eval()


def _new_model(recipe: Recipe) -> MobileViTForImageClassification:
    torch.manual_seed(recipe.seed)
    # Every picture is new, so there is nothing for dropout to prevent.
    config = MobileViTConfig.preset(
        "xxs", id2label=dict(enumerate(CLASSES)), hidden_dropout_prob=0.0, classifier_dropout_prob=0.0
    )
    return MobileViTForImageClassification(config)


def _train_share(rank: int, recipe: Recipe, state: Path, meeting: str) -> None:
    """Run one process of the training: everything but the pictures is the same in all of them."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=recipe.processes)
    # A third faster on a CPU, and twice as fast together with bfloat16.
    model = _new_model(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
    first = _resume(state, model, optimizer)
    replica = DistributedDataParallel(model)
    console = Console(quiet=rank > 0)
    right = []
    for batch in _progress(recipe, first, console):
        right.append(_step(replica, optimizer, recipe, batch, rank))
        last = batch + 1 == recipe.batches
        if rank == 0 and (last or (batch + 1) % SAVE_EVERY == 0):
            saved = {"batch": batch + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(saved, state.with_suffix(".new"))
            state.with_suffix(".new").replace(state)
            size = recipe.image_size(batch)
            console.print(f"batch {batch + 1} at {size}x{size}: training top-1 {sum(right) / len(right):.1%}")
            right.clear()
    torch.distributed.destroy_process_group()


def _resume(state: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the state of an interrupted run, if there is one, and return the batch to go on with."""
    if not state.exists():
        return 0
    saved = torch.load(state, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["batch"])


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
    """Take one optimizer step on this process's share of a batch; return the share of right answers."""
    share = BATCH // recipe.processes
    pixels, labels = _pictures(recipe, batch, range(rank * share, (rank + 1) * share))
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
        logits = replica(pixels.contiguous(memory_format=torch.channels_last)).logits.float()
    loss = F.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(replica.parameters(), GRADIENT_NORM)
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate(batch)
    optimizer.step()
    return int((logits.argmax(1) == labels).sum()) / share


def _pictures(recipe: Recipe, batch: int, positions: range) -> tuple[Tensor, Tensor]:
    """Return a share of a batch, preprocessed as for deployment [count, 3, size, size], and its labels."""
    size, difficulty = recipe.image_size(batch), recipe.difficulty(batch)
    samples = [generate(batch * BATCH + k, image_size=size, difficulty=difficulty) for k in positions]
    return pixel_values(processor_for(size), samples), torch.tensor([sample.label for sample in samples])


def publish(model: MobileViTForImageClassification, output: Path, *, recipe: Recipe, minutes: float) -> None:
    """Write a Hugging Face folder with a model card that states the accuracy of the stored weights."""
    model.save_pretrained(output, dtype=torch.float16)
    processor_for(256).save_pretrained(output)
    # The file is what users run, so the rounded weights are what is measured.
    accuracy = evaluate(
        MobileViTForImageClassification.from_pretrained(output), processor_for(256), count=HELD_OUT
    )
    card = model_card(
        accuracy=accuracy,
        held_out=HELD_OUT,
        parameters=sum(weight.numel() for weight in model.parameters()),
        pictures=recipe.batches * BATCH,
        command=f"python -m mobilevit_deploy.demo.train --output {output.name} --pictures {recipe.pictures}",
        minutes=minutes,
        machine=f"{recipe.processes} CPU cores",
    )
    (output / "README.md").write_text(card, encoding="utf-8")
    Console().print(table(accuracy))


def main(
    output: Annotated[Path, typer.Option(help="Folder for the checkpoint; made if need be.")],
    pictures: Annotated[int, typer.Option(min=BATCH, help="Generated pictures to train on.")] = 164_000,
    seed: Annotated[int, typer.Option(help="Of the first weights.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="CPU cores to use.")] = 2,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16/--float32", help="float32 is faster on CPUs without bfloat16 units.")
    ] = True,
) -> None:
    """Train the demo model, measure it on the held-out pictures, and write it as a Hugging Face folder."""
    recipe = Recipe(pictures=pictures, seed=seed, processes=processes, bfloat16=bfloat16)
    started = time.monotonic()
    model = train(recipe, output_folder(output))
    publish(model, output, recipe=recipe, minutes=(time.monotonic() - started) / 60)
    (output / STATE).unlink()


if __name__ == "__main__":
    typer.run(main)
