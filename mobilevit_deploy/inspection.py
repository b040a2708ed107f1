"""Which operator of a file runs where, from the file alone, and what it costs.

A target says which accelerators could run its file, how many operators each would take, and what keeps the
others away: a rule, with its public source and what to do about it. What a runtime tells of itself comes
before what is written about it; ``Delegation.told_by`` says which it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mobilevit_deploy.dataflow import Dataflow, Node
from mobilevit_deploy.errors import UsageError


class Operator(BaseModel):
    """One operator, for a reader.

    Attributes:
        kind: what the format calls it.
        name: tells it from others of its kind.
        tensors: types and shapes of what passes through it.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    name: str
    tensors: str


class Finding(BaseModel):
    """A rule, and the operators that do not keep it.

    Attributes:
        rule: what the accelerator asks for.
        source: where its makers, or those who tried, say so.
        remedy: what to do, in the imperative.
        refused: the accelerator leaves these operators to another processor; otherwise it takes them, and
            they cost more than they need to, or depend on the device.
        operators: at least one.
    """

    model_config = ConfigDict(frozen=True)

    rule: str
    source: str
    remedy: str
    refused: bool
    operators: tuple[Operator, ...]


class Delegation(BaseModel):
    """What one accelerator takes of a file.

    Attributes:
        accelerator: what ``--accelerator`` takes.
        told_by: the runtime that was asked, or that it is by written rules.
        taken: operators that it takes.
        total: operators in the graph as this accelerator is offered it.
        partitions: pieces in which it takes them; each end of a piece hands tensors over.
        findings: refusals first.
    """

    model_config = ConfigDict(frozen=True)

    accelerator: str
    told_by: str
    taken: int
    total: int
    partitions: int
    findings: tuple[Finding, ...] = ()

    @property
    def full(self) -> bool:
        """It takes every operator."""
        return self.taken == self.total


class Inspection(BaseModel):
    """What a file is made of.

    Attributes:
        operators: how many of each kind, the most frequent first.
        parameters: numbers in stored weights and biases.
        multiply_adds: of convolutions and matrix products, for one inference.
        peak_activation_bytes: as ``Dataflow.peak_bytes`` defines it.
        delegations: one for each accelerator, the one that such files are made for first.
        notes: what could not be known.
    """

    model_config = ConfigDict(frozen=True)

    operators: Mapping[str, int]
    parameters: int
    multiply_adds: int
    peak_activation_bytes: int
    delegations: tuple[Delegation, ...]
    notes: tuple[str, ...] = ()

    @property
    def full(self) -> bool:
        """Every accelerator takes every operator."""
        return all(found.full for found in self.delegations)

    def only(self, accelerator: str) -> Inspection:
        """The same, without the other accelerators.

        Raises:
            UsageError: no accelerator of that name runs such files.
        """
        chosen = tuple(found for found in self.delegations if found.accelerator == accelerator)
        if not chosen:
            names = ", ".join(found.accelerator for found in self.delegations)
            raise UsageError(
                f"'{accelerator}' is no accelerator for this file.",
                remedy=f"For this file there are: {names}.",
            )
        return self.model_copy(update={"delegations": chosen})


def inspect(path: Path) -> tuple[str, Inspection]:
    """Look into any file of a known format; no manifest is needed.

    Returns:
        The name of the target that reads such files, and what it found.

    Raises:
        ArtifactError: no target reads such files, or it cannot be read.
    """
    from mobilevit_deploy.description import reader

    target = reader(path)
    return target.name, target.inspect(path)


def summary(flow: Dataflow, parameters: int, delegations: Iterable[Delegation], *notes: str) -> Inspection:
    """What is counted in ``flow``, with what else is known of its file."""
    if not flow.fixed:
        notes = (*notes, "Some sizes are open: each counts as 1, so that the true figures are larger.")
    return Inspection(
        operators=flow.kinds,
        parameters=parameters,
        multiply_adds=flow.multiply_adds,
        peak_activation_bytes=flow.peak_bytes(),
        delegations=tuple(delegations),
        notes=notes,
    )


@dataclass(frozen=True)
class Rule:
    """What an accelerator asks of an operator.

    Attributes:
        text: the rule, as a finding states it.
        source: its address.
        remedy: what to do, in the imperative.
        broken: whether an operator breaks it.
        refused: see ``Finding``.
    """

    text: str
    source: str
    remedy: str
    broken: Callable[[Node, Dataflow], bool]
    refused: bool = True


def judge(accelerator: str, flow: Dataflow, rules: Sequence[Rule], *, told_by: str) -> Delegation:
    """What an accelerator takes by ``rules``: every operator that breaks none which refuses it."""
    broken = {rule: [node for node in flow.nodes if rule.broken(node, flow)] for rule in rules}
    refused = {node.name for rule, nodes in broken.items() if rule.refused for node in nodes}
    taken = {place for place, node in enumerate(flow.nodes) if node.name not in refused}
    findings = (finding(flow, rule, nodes) for rule, nodes in broken.items() if nodes)
    return Delegation(
        accelerator=accelerator,
        told_by=told_by,
        taken=len(taken),
        total=len(flow.nodes),
        partitions=flow.partitions(taken),
        findings=tuple(sorted(findings, key=lambda found: not found.refused)),
    )


def finding(flow: Dataflow, rule: Rule, nodes: Iterable[Node]) -> Finding:
    """That ``nodes`` break ``rule``."""
    return Finding(
        rule=rule.text,
        source=rule.source,
        remedy=rule.remedy,
        refused=rule.refused,
        operators=tuple(operator(flow, node) for node in nodes),
    )


def operator(flow: Dataflow, node: Node) -> Operator:
    """``node``, for a reader."""
    read, written = (
        ", ".join(str(flow.values[name]) for name in names if name not in flow.constants) or "constants"
        for names in (node.inputs, node.outputs)
    )
    return Operator(kind=node.kind, name=node.name, tensors=f"{read} -> {written}")
