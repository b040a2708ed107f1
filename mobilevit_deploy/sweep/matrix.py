"""From the lists of a plan to their combinations: artifacts to make, and passes that measure them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from mobilevit_deploy.choices import export_options
from mobilevit_deploy.devices.selection import check_name
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.quantize import Precision
from mobilevit_deploy.sweep.plan import Exclude, Plan
from mobilevit_deploy.target import Target, get_target, suggestion, target_names

ALL = "all"

_CLUSTERS = ("big", "mid", "little")
_MEASURING = frozenset({"threads", "cores", "device"})
"""Keys of an exclusion that leave out a measurement, and not the artifact."""


@dataclass(frozen=True)
class Variant:
    """One artifact to make; ``image_size`` is (height, width), or None for the checkpoint's own."""

    model: str
    target: str
    precision: str
    converter: str
    image_size: tuple[int, int] | None

    @property
    def key(self) -> str:
        """Tells it from every other; names what is not default."""
        parts = [self.model, self.target, self.precision]
        if self.image_size:
            parts.append("x".join(map(str, dict.fromkeys(self.image_size))))
        if self.converter != get_target(self.target).converters[0]:
            parts.append(self.converter)
        return " ".join(parts)


@dataclass(frozen=True)
class Pass:
    """What is measured in turns: some artifacts, on some devices side by side; no ``cores`` are all."""

    threads: int
    cores: str
    devices: tuple[str, ...]
    variants: tuple[Variant, ...]

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{threads}{f' on cores {self.cores}' if self.cores else ''}, {', '.join(self.devices)}"


@dataclass(frozen=True)
class Matrix:
    """All combinations of a plan; ``skipped`` are how many are left out for which reason."""

    variants: tuple[Variant, ...]
    passes: tuple[Pass, ...]
    skipped: Mapping[str, int]


def expand(plan: Plan) -> Matrix:
    """The combinations of a plan.

    Raises:
        UsageError: it names what does not exist, excludes what is not in it, or leaves nothing.
    """
    for device in plan.devices:
        check_name(device)
    targets = [get_target(name) for name in _named(plan.targets, target_names())]
    for name in plan.precisions:
        _check_precision(name)
    _check_converters(plan, targets)
    skipped: Counter[str] = Counter()
    wanted = list(dict.fromkeys(_variants(plan, targets, skipped)))
    _check_exclusions(plan, targets)
    whole = [each for each in plan.exclude if not _MEASURING & each.values().keys()]
    variants = tuple(each for each in wanted if not _excluded(vars(each), whole, skipped))
    if not variants:
        raise UsageError(
            "The sweep leaves no artifact to make: "
            + "; ".join(f"{why} ({count})" for why, count in skipped.items())
            + ".",
            remedy="Run 'mobilevit-deploy targets' to see what each target offers.",
        )
    return Matrix(variants, tuple(_passes(plan, variants, skipped)), skipped)


def _variants(plan: Plan, targets: list[Target], skipped: Counter[str]) -> Iterator[Variant]:
    sizes: list[tuple[int, int] | None] = [*plan.image_sizes] or [None]
    for model, target in product(plan.models, targets):
        offered = [str(precision) for precision in target.precisions]
        converters = plan.export.converters.get(target.name, target.converters[:1])
        for precision in _named(plan.precisions, offered):
            if precision not in offered:
                skipped[f"{target.name} has no {precision}"] += len(sizes) * len(converters)
                continue
            for size, converter in product(sizes, converters):
                yield Variant(model, target.name, precision, converter, size)


def _passes(plan: Plan, variants: tuple[Variant, ...], skipped: Counter[str]) -> Iterator[Pass]:
    """Devices that measure the same artifacts do so side by side."""
    measuring = [each for each in plan.exclude if _MEASURING & each.values().keys()]
    for threads, cores in product(dict.fromkeys(plan.threads), dict.fromkeys(plan.cores)):
        together: dict[tuple[Variant, ...], list[str]] = defaultdict(list)
        for device in dict.fromkeys(plan.devices):
            if cores in _CLUSTERS and not device.startswith("adb"):
                skipped[f"{device} has no cores called {cores}, which are a phone's"] += len(variants)
                continue
            where = {"threads": threads, "cores": cores, "device": device}
            wanted = tuple(each for each in variants if not _excluded(vars(each) | where, measuring, skipped))
            together[wanted].append(device)
        for wanted, devices in together.items():
            if wanted:
                yield Pass(threads, "" if cores == ALL else cores, tuple(devices), wanted)


def _excluded(combination: dict[str, Any], exclusions: list[Exclude], skipped: Counter[str]) -> bool:
    if not any(each.leaves_out(combination) for each in exclusions):
        return False
    skipped["left out by [[exclude]]"] += 1
    return True


def _named(names: Iterable[str], every: list[str]) -> list[str]:
    wanted = list(dict.fromkeys(names))
    return every if ALL in wanted else wanted


def _check_precision(name: str) -> None:
    """A precision that one target lacks is skipped; one that nobody has is a mistake."""
    if name == ALL or name in list(Precision):
        return
    known = [str(precision) for precision in Precision]
    raise UsageError(
        f"There is no precision '{name}'.", remedy=f"{suggestion(name, known)}There are: {', '.join(known)}."
    )


def _check_converters(plan: Plan, targets: list[Target]) -> None:
    for name, converters in plan.export.converters.items():
        target = next((each for each in targets if each.name == name), None)
        if target is None:
            known = [each.name for each in targets]
            raise UsageError(
                f"[export] converters names the target '{name}', which is not in the sweep.",
                remedy=f"{suggestion(name, known)}In the sweep: {', '.join(known)}.",
            )
        for converter in converters:
            export_options(target, str(next(iter(target.precisions))), converter=converter)


def _check_exclusions(plan: Plan, targets: list[Target]) -> None:
    """An exclusion of something that is not there is misspelt, and would leave out nothing."""
    converters = [plan.export.converters.get(each.name, each.converters[:1]) for each in targets]
    offered = [str(precision) for target in targets for precision in target.precisions]
    known: dict[str, list[Any]] = {
        "model": plan.models,
        "target": [target.name for target in targets],
        "precision": _named(plan.precisions, offered),
        "converter": [name for names in converters for name in names],
        "image_size": plan.image_sizes,
        "threads": plan.threads,
        "cores": plan.cores,
        "device": plan.devices,
    }
    for number, exclusion in enumerate(plan.exclude, start=1):
        if not exclusion.values():
            raise UsageError(
                f"The {number}. [[exclude]] has no key, and would leave out everything.",
                remedy='Say what it leaves out, such as target = "onnx".',
            )
        for key, values in exclusion.values().items():
            if strays := [value for value in values if value not in known[key]]:
                stray, there = _text(strays[0]), list(dict.fromkeys(map(_text, known[key])))
                raise UsageError(
                    f"The {number}. [[exclude]] names the {key} '{stray}', which is not swept.",
                    remedy=f"{suggestion(stray, there)}In the sweep: {', '.join(there) or 'none'}.",
                )


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
