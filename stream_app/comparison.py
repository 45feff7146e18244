"""How two models did on the same events, and a file that keeps it over restarts. Knows no source, and no process."""

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from checkpoints.durable import read_bounded, replace
from stream_app.lane import Lane, Paired, paired
from stream_app.money import Money
from stream_app.progressive.confidence import Losses, LossSums
from stream_app.progressive.rows import Matrix, number
from stream_app.shadow_frames import KEPT, Figures, ShadowSpec
from stream_app.sources.source import Position, Records

log = logging.getLogger(__name__)

_ROWS = 4
_MOST_BYTES = 16 << 20

Decisions = NDArray[np.int64]
"""Shadow and primary, by what came true and what was predicted: shape (2, 2, 2)."""


class _Kept(msgspec.Struct, frozen=True):
    spec: ShadowSpec
    position: Position
    records: int
    unpaired: int
    losses: LossSums
    decisions: bytes
    recent: bytes


class Comparison:
    """Losses and decisions of shadow and primary, paired by event. Written by one owner."""

    def __init__(self, spec: ShadowSpec, metric: str, money: Money | None) -> None:
        self.records = 0
        self.unpaired = 0
        """Records whose events one of the two did not take."""
        self.position: Position = {}
        """Per partition, up to where it has come; empty before the first record."""
        self._spec = spec
        self._metric = metric
        self._money = money
        self._losses = Losses(2)
        self._decisions: Decisions = np.zeros((2, 2, 2), np.int64)
        self._recent = _Latest()

    def learn(self, lanes: Sequence[Lane], records: Records) -> None:
        """Let both learn the records. Those up to `position` are counted already."""
        known = max(0, min(self.position.get(records.partition, 0) - records.offset, len(records.payloads)))
        if known:
            paired(lanes, msgspec.structs.replace(records, payloads=records.payloads[:known]))
        new = msgspec.structs.replace(records, offset=records.offset + known, payloads=records.payloads[known:])
        if new.payloads:
            self._add(new, paired(lanes, new))

    def figures(self) -> Figures:
        """Over all of it."""
        return self._figures(self._losses, self._decisions)

    def over(self, examples: int) -> Figures:
        """Over the last so many labelled events, KEPT at most."""
        rows, losses = self._recent.last(examples), Losses(2)
        losses.add(rows[:2])
        return self._figures(losses, _counted(rows[2:]))

    def save(self, path: Path) -> None:
        """Survives kill -9. Where the disk takes nothing, the log says so, and nothing else happens."""
        kept = _Kept(
            self._spec,
            self.position,
            self.records,
            self.unpaired,
            self._losses.state(),
            self._decisions.tobytes(),
            self._recent.last(KEPT).tobytes(),
        )
        try:
            replace(path, msgspec.msgpack.encode(kept))
        except OSError as error:
            log.warning("shadow %s: what was compared cannot be written to %s: %s", self._spec.name, path, error)

    def restore(self, path: Path) -> bool:
        """Go on from what was saved; whether there is such a file, of the same two models."""
        try:
            kept = msgspec.msgpack.decode(read_bounded(path, _MOST_BYTES), type=_Kept)
            decisions = np.frombuffer(kept.decisions, np.int64).reshape(2, 2, 2).copy()
            recent = np.frombuffer(kept.recent, np.float64).reshape(_ROWS, -1)
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            log.warning("shadow %s: comparing begins anew: %s: %s", self._spec.name, path, error)
            return False
        if kept.spec != self._spec:
            return False
        self.position, self.records, self.unpaired = kept.position, kept.records, kept.unpaired
        self._losses.restore(kept.losses)
        self._decisions = decisions
        self._recent.add(recent)
        return True

    def _add(self, records: Records, found: Paired | None) -> None:
        n = len(records.payloads)
        self.position[records.partition] = records.offset + n
        self.records += n
        if found is None:
            self.unpaired += n
            return
        self._losses.add(found.losses)
        self._decisions += _counted(found.decisions)
        self._recent.add(np.concatenate([found.losses, found.decisions]))

    def _figures(self, losses: Losses, decisions: Decisions) -> Figures:
        if not losses.examples:
            return Figures(metric=self._metric)
        behind, value, primary_value = losses.difference(0, 1), None, None
        if self._money is not None and decisions.any():
            value, primary_value = (self._money.of(counts) for counts in decisions)
        return Figures(
            metric=self._metric,
            examples=losses.examples,
            loss=losses.mean(0).mean,
            primary_loss=losses.mean(1).mean,
            behind=number(behind.mean),
            low=number(behind.low),
            high=number(behind.high),
            value=value,
            primary_value=primary_value,
        )


class _Latest:
    """The last KEPT columns."""

    def __init__(self) -> None:
        self._kept: Matrix = np.zeros((_ROWS, KEPT))
        self._count = 0

    def add(self, rows: Matrix) -> None:
        rows = rows[:, -KEPT:]
        self._kept[:, (self._count + np.arange(rows.shape[1])) % KEPT] = rows
        self._count += rows.shape[1]

    def last(self, columns: int) -> Matrix:
        """Oldest first."""
        columns = min(columns, self._count, KEPT)
        found: Matrix = self._kept[:, (self._count - columns + np.arange(columns)) % KEPT]
        return found


def _counted(decisions: Matrix) -> Decisions:
    """Rows of decisions, as Paired has them, by what came true and what was predicted; nan is none."""
    is_known = ~np.isnan(decisions).any(axis=0)
    return np.stack([np.bincount(row.astype(np.intp), minlength=4) for row in decisions[:, is_known]]).reshape(2, 2, 2)
