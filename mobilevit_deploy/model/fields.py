"""Dataclass fields that check their values: the types and ranges of a config.json.

A check takes the field's name and value, returns the value in its proper type, and raises ``ValueError`` in
words that a person can act on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from reprlib import repr as short
from typing import Any

Check = Callable[[str, Any], Any]


def checked(default: Any, check: Check) -> Any:
    """A field with a default."""
    return field(default=default, metadata={"check": check})


def integer(low: int, high: int) -> Check:
    """A whole number within limits."""

    def check(name: str, value: Any) -> int:
        # bool is an int to Python, and never one to a person who writes a config.
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low:,} to {high:,}, not {short(value)}.")
        return value

    return check


def odd(high: int) -> Check:
    """An odd, positive whole number."""

    def check(name: str, value: Any) -> Any:
        if integer(1, high)(name, value) % 2 == 0:
            raise ValueError(f"{name} must be odd, not {value}.")
        return value

    return check


def number(low: float, high: float) -> Check:
    """A number within limits; 1 and 1.0 are the same."""

    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{name} must be a number from {low:g} to {high:g}, not {short(value)}.")
        return float(value)

    return check


def integers(length: int, high: int) -> Check:
    """A list of so many positive whole numbers; kept as a tuple."""
    element = integer(1, high)

    def check(name: str, value: Any) -> tuple[int, ...]:
        if not isinstance(value, list | tuple) or len(value) != length:
            raise ValueError(f"{name} must be a list of {length} whole numbers, not {short(value)}.")
        return tuple(element(f"{name}[{i}]", item) for i, item in enumerate(value))

    return check


def integer_or_pair(high: int) -> Check:
    """A side, or height and width."""

    def check(name: str, value: Any) -> Any:
        either = integers(2, high) if isinstance(value, list | tuple) else integer(1, high)
        return either(name, value)

    return check


def one_of(*choices: object) -> Check:
    """One of a few values."""

    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, not {short(value)}.")
        return value

    return check


def boolean(name: str, value: Any) -> bool:
    """True or false."""
    return bool(one_of_type(bool, "true or false")(name, value))


def names(name: str, value: Any) -> tuple[str, ...] | None:
    """A list of strings, or nothing."""
    if value is None:
        return None
    words = one_of_type((list, tuple), "a list of names")(name, value)
    return tuple(one_of_type(str, "a name")(f"{name}[{i}]", word) for i, word in enumerate(words))


def labels_by_id(name: str, value: Any) -> dict[int, str]:
    """Class names by number. JSON knows only string keys: ``{"0": "cat"}`` becomes ``{0: "cat"}``."""
    pairs = one_of_type(Mapping, "a map from class number to name")(name, {} if value is None else value)
    try:
        labels = {int(key): str(label) for key, label in pairs.items()}
    except (TypeError, ValueError):
        raise ValueError(f"{name} must have whole numbers for keys, not {short(list(pairs))}.") from None
    if sorted(labels) != list(range(len(pairs))):
        raise ValueError(f"{name} must number its {len(pairs)} classes 0, 1, 2, ... without a gap.")
    return dict(sorted(labels.items()))


def ids_by_label(name: str, value: Any) -> dict[str, int]:
    """Class numbers by name."""
    pairs = one_of_type(Mapping, "a map from class name to number")(name, {} if value is None else value)
    return {str(label): integer(0, 2**31 - 1)(f"{name}[{label!r}]", i) for label, i in pairs.items()}


def one_of_type(kind: type | tuple[type, ...], description: str) -> Check:
    """A value of a type."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"{name} must be {description}, not {short(value)}.")  # noqa: TRY004
        return value

    return check
