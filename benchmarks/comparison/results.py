"""Everything that one run of ``bench_peers`` found."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from benchmarks.comparison.entries import Entry, Key, Turn
from mobilevit_deploy.bench.environment import Machine
from mobilevit_deploy.bench.statistics import Estimate, Summary, ratio, summarise


class Results(BaseModel):
    """Entries, and the turns of those that run."""

    made_at: datetime
    machine: Machine
    entries: list[Entry]
    turns: list[Turn]

    def rounds(self, key: Key) -> list[tuple[float, ...]]:
        """The samples of a file, process by process."""
        return [turn.samples_ms for turn in self.turns if turn.key == key]

    def latency(self, key: Key) -> Summary | None:
        """What they say; None for a file that was not timed."""
        rounds = self.rounds(key)
        return summarise(rounds) if rounds else None

    def faster(self, ours: Key, base: Key) -> Estimate:
        """How many times as fast as ``base`` a file is; in one run, files take turns."""
        over, under = self.rounds(base), self.rounds(ours)
        return ratio(over, under, paired=len(over) == len(under))
