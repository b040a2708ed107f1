"""Evaluates an ML program operation by operation: what stands in for Core ML where there is none.

Each operation is computed in float32 and its result rounded once to the type that the program declares for
it, float16 where it says float16. That is arithmetic with wide accumulators; an engine that accumulates in
float16 is less exact than this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilevit_deploy.errors import SessionError

from .mil_ops import OPERATIONS, Operation

_DTYPES = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int32": torch.int32,
    "bool": torch.bool,
}

Value = Any  # a float32 tensor, or a constant that is no floating point number as a Python value


@dataclass(frozen=True)
class _Variable:
    """A value as the program declares it; float16 ones are kept as float32 that float16 can hold."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def rounded(self, value: Tensor) -> Tensor:
        """``value`` as this variable holds it."""
        declared = value.to(self.dtype)
        return declared.to(torch.float32) if self.dtype == torch.float16 else declared


@dataclass(frozen=True)
class _Step:
    """One operation: where its arguments come from, and which values nobody needs after it."""

    kind: str
    compute: Operation
    arguments: Mapping[str, str | tuple[str, ...]]
    results: tuple[_Variable, ...]
    dead: tuple[str, ...] = ()

    def run(self, values: Mapping[str, Value]) -> dict[str, Tensor]:
        arguments = {
            key: values[source] if isinstance(source, str) else [values[name] for name in source]
            for key, source in self.arguments.items()
        }
        try:
            computed = self.compute(**arguments)
        except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError) as error:
            raise SessionError(
                f"The MIL operation '{self.kind}' ({self.results[0].name}) failed: {error}.",
                remedy="Check the package on a Mac with 'mobilevit-deploy verify', and report this message.",
            ) from error
        tensors = computed if isinstance(computed, tuple) else (computed,)
        given = [list(tensor.shape) for tensor in tensors]
        declared = [list(result.shape) for result in self.results]
        if given != declared:
            raise SessionError(
                f"The MIL operation '{self.kind}' ({self.results[0].name}) gave {_listed(given)}, "
                f"the program declares {_listed(declared)}.",
                remedy="Export the model again; if that does not help, report this message.",
            )
        return {
            result.name: result.rounded(tensor) for result, tensor in zip(self.results, tensors, strict=True)
        }


def _listed(shapes: Sequence[Sequence[int]]) -> str:
    return ", ".join(map(str, shapes))


@dataclass(frozen=True)
class _Classification:
    """What ``classify``, the last operation of a classifier, makes of probabilities: no tensors."""

    probabilities: str
    classes: tuple[str, ...]
    label: str
    dictionary: str

    def run(self, values: Mapping[str, Value]) -> dict[str, Any]:
        numbers = values[self.probabilities].flatten().tolist()
        by_class = dict(zip(self.classes, numbers, strict=True))
        return {self.label: max(by_class, key=by_class.__getitem__), self.dictionary: by_class}


class MilInterpreter:
    """A function of an ML program, ready to run.

    Args:
        function: coremltools' representation, from ``package.read_function``; not needed afterwards.

    Raises:
        SessionError: the function uses an operation or a type that the interpreter does not know, or one name
            for two values.
    """

    def __init__(self, function: Any) -> None:
        operations = list(function.operations)
        _refuse_unknown({operation.op_type for operation in operations})
        # coremltools itself makes up names for constants that stand within an operation, and not with care.
        computed = [op for op in operations if op.op_type != "const"]
        _refuse_ambiguous([*function.inputs, *(var.name for op in computed for var in op.outputs)])
        constants = [op for op in operations if op.op_type == "const"]
        self._classifications = [_classification(op) for op in operations if op.op_type == "classify"]
        named = {name for made in self._classifications for name in (made.label, made.dictionary)}
        self._inputs = [_variable(var) for var in function.inputs.values()]
        self._outputs = [_variable(var) for var in function.outputs if var.name not in named]
        # The names of classes are no numbers, and belong to their operation.
        self._constants = {op.outputs[0].name: _constant(op.val.val) for op in constants if not _is_list(op)}
        kept = {out.name for out in self._outputs} | {made.probabilities for made in self._classifications}
        steps = [_step(op) for op in computed if op.op_type != "classify"]
        self._steps = _with_lifetimes(steps, keep={*self._constants, *kept})

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Evaluate the program.

        Args:
            inputs: an array for each input of the function, of the shape that it declares.

        Returns:
            Each output of the function: an array in the dtype that it declares; of a classifier also the
            best class, and a dictionary with the probability of each.

        Raises:
            SessionError: an input is missing or of another shape, or an operation failed.
        """
        with torch.inference_mode():
            values: dict[str, Value] = dict(self._constants)
            for variable in self._inputs:
                values[variable.name] = variable.rounded(_given(variable, inputs))
            for step in self._steps:
                values |= step.run(values)
                for name in step.dead:
                    del values[name]
            results = {out.name: values[out.name].to(out.dtype).numpy() for out in self._outputs}
            for classification in self._classifications:
                results |= classification.run(values)
            return results


def _given(variable: _Variable, inputs: Mapping[str, NDArray[Any]]) -> Tensor:
    array = inputs.get(variable.name)
    if array is None or array.shape != variable.shape:
        found = "nothing of that name" if array is None else str(list(array.shape))
        raise SessionError(
            f"The program takes {variable.name}{list(variable.shape)}, and was given {found}.",
            remedy="Export the model again: package and manifest do not belong together.",
        )
    return torch.tensor(np.ascontiguousarray(array))


def _refuse_unknown(kinds: set[str]) -> None:
    unknown = sorted(kinds - {"const", "classify"} - OPERATIONS.keys())
    if unknown:
        raise SessionError(
            f"The interpreter does not know these MIL operations: {', '.join(unknown)}.",
            remedy="Verify the package on a Mac, where Core ML itself runs it, and report their names.",
        )


def _refuse_ambiguous(names: Sequence[str]) -> None:
    ambiguous = sorted(name for name, times in Counter(names).items() if times > 1)
    if ambiguous:
        raise SessionError(
            f"The program gives a name to more than one value: {', '.join(ambiguous)}.",
            remedy="Export the model again; Core ML would refuse this package.",
        )


def _is_list(constant: Any) -> bool:
    from coremltools.converters.mil.mil import types

    return bool(types.is_list(constant.outputs[0].sym_type))


def _variable(var: Any) -> _Variable:
    from coremltools.converters.mil.mil import types

    name = types.builtin_to_string(var.dtype)
    if name not in _DTYPES:
        raise SessionError(
            f"The interpreter does not know the type {name} of '{var.name}'.",
            remedy="Verify the package on a Mac, where Core ML itself runs it.",
        )
    return _Variable(var.name, tuple(var.shape), _DTYPES[name])


def _constant(value: Any) -> Value:
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return torch.tensor(array.astype(np.float32))
    if array.dtype.itemsize == 1 and array.dtype != bool and array.ndim:
        return torch.tensor(array)  # weights, in 8 bits or fewer
    return array.tolist()


def _step(operation: Any) -> _Step:
    arguments: dict[str, str | tuple[str, ...]] = {}
    for key, source in operation.inputs.items():
        if isinstance(source, Sequence):
            arguments[key] = tuple(var.name for var in source)
        elif source is not None:
            arguments[key] = source.name
    results = tuple(_variable(var) for var in operation.outputs)
    return _Step(operation.op_type, OPERATIONS[operation.op_type], arguments, results)


def _classification(operation: Any) -> _Classification:
    label, dictionary = operation.outputs
    return _Classification(
        probabilities=operation.probabilities.name,
        classes=class_names(operation),
        label=label.name,
        dictionary=dictionary.name,
    )


def class_names(operation: Any) -> tuple[str, ...]:
    """Names of the classes that a ``classify`` operation knows."""
    return tuple(str(name) for name in operation.classes.val)


def _with_lifetimes(steps: Sequence[_Step], keep: set[str]) -> list[_Step]:
    """The same steps, each with the names whose last use it is."""
    needed = set(keep)
    done: list[_Step] = []
    for step in reversed(steps):
        used = {name for source in step.arguments.values() for name in _names(source)}
        done.append(replace(step, dead=tuple(sorted(used - needed))))
        needed |= used
    return done[::-1]


def _names(source: str | tuple[str, ...]) -> tuple[str, ...]:
    return (source,) if isinstance(source, str) else source
