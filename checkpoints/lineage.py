"""Lineage: checkpoints as children of their parents. Which is newest, which may go, which one a prefix names."""

import heapq
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import msgspec

from checkpoints.checkpoint import CheckpointStore, Summary
from checkpoints.errors import CheckpointError, CheckpointMissing

_PREFIX = re.compile(r"(?:sha256\.)?([0-9a-f]{8,64})")
_CANDIDATES = 5
_DIGITS = 12


class Verified(msgspec.Struct, frozen=True):
    """A package whose every byte was read and is what was saved."""

    id: str
    blobs: int
    size_bytes: int
    remarks: list[str]
    """What is no damage but worth knowing, such as `parent not kept: sha256...`."""


def newest_first(summaries: Iterable[Summary]) -> list[Summary]:
    """By creation, but a child always before its parent, whatever the clock did; what cannot be read comes last."""
    known = {summary.id: summary for summary in summaries}
    children = Counter(parent for summary in known.values() if (parent := parent_of(summary)) in known)
    ready = [(_age(summary), summary.id) for summary in known.values() if not children[summary.id]]
    heapq.heapify(ready)
    ordered = []
    while ready:
        summary = known[heapq.heappop(ready)[1]]
        ordered.append(summary)
        parent = parent_of(summary)
        if parent is not None and parent in known:
            children[parent] -= 1
            if not children[parent]:
                heapq.heappush(ready, (_age(known[parent]), parent))
    return ordered


def lineage(head: str | None, summaries: Iterable[Summary]) -> list[Summary]:
    """`head`, its parent, and so on, as far as they are kept. A damaged one ends it, and is the last of it."""
    known = {summary.id: summary for summary in summaries}
    line: list[Summary] = []
    while head is not None and head in known:
        line.append(known[head])
        head = parent_of(known[head])
    return line


def superfluous(
    head: str | None, summaries: Sequence[Summary], keep: int, also: Collection[str], named: Collection[str]
) -> list[str]:
    """What retention may remove, by the rule of `CheckpointStore.prune`; `named` are those that ledgers name.

    Raises CheckpointError for keep < 1.
    """
    if keep < 1:
        raise CheckpointError(f"cannot keep {keep!r} checkpoints, expected at least 1")
    kept = lineage(head, summaries)[:keep]
    if not kept or kept[-1].manifest is None:
        return []
    pinned = {summary.id for summary in summaries if summary.note is not None and summary.note.is_pinned}
    wanted = pinned | set(named)
    parents = {parent_of(summary) for summary in summaries if summary.id in wanted}
    spared = {summary.id for summary in kept} | wanted | parents | set(also)
    return [summary.id for summary in summaries if summary.id not in spared]


def why_superfluous(head: str | None, summaries: Sequence[Summary]) -> dict[str, str]:
    """By id, why a checkpoint is among the `superfluous` where it is, for a person."""
    beside = {
        summary.id: "beside the lineage: no tag, replay or import needs it"
        if summary.manifest is not None
        else "damaged, and beside the lineage"
        for summary in summaries
    }
    return beside | {summary.id: "older than the newest that stay" for summary in lineage(head, summaries)}


def resolve(store: CheckpointStore, prefix: str) -> str:
    """The one id that starts with `prefix`: 8 or more hex digits, with or without `sha256.` before them.

    Raises CheckpointMissing where none does, CheckpointError where several do; both list the candidates.
    """
    match = _PREFIX.fullmatch(prefix.strip().lower())
    if match is None:
        raise CheckpointError(f"{prefix!r} names no checkpoint: expected 8 to 64 hex digits of its id")
    ids = [summary.id for summary in store.list()]
    found = [one for one in ids if one.startswith(f"sha256.{match[1]}")]
    if len(found) > 1:
        raise CheckpointError(f"{prefix!r} is ambiguous, give more digits: {_some(found)}")
    if not found:
        hint = "; weir checkpoints list shows them" if ids else ""
        raise CheckpointMissing(f"no checkpoint starts with {prefix!r}, kept are: {_some(ids)}{hint}")
    return found[0]


def verify(store: CheckpointStore, model_id: str) -> Verified:
    """Read the whole package. Raises as `CheckpointStore.load` does; a parent that is not kept is only remarked."""
    manifest = store.load(model_id).manifest
    sizes = {summary.id: summary.size_bytes for summary in store.list()}
    if model_id not in sizes:
        raise CheckpointMissing(f"{model_id} was removed while it was being verified")
    remarks = [] if manifest.parent is None or manifest.parent in sizes else [f"parent not kept: {manifest.parent}"]
    return Verified(model_id, len(manifest.blobs), sizes[model_id], remarks)


def parent_of(summary: Summary) -> str | None:
    """The parent's id, where there is one and the manifest can be read."""
    return summary.manifest.parent if summary.manifest is not None else None


def _age(summary: Summary) -> float:
    if summary.manifest is None:
        return math.inf
    return -summary.note.created_at if summary.note is not None else 0.0


def _some(ids: Sequence[str]) -> str:
    """The first of them, each with as many digits as commands take and tell it apart."""
    more = f" and {len(ids) - _CANDIDATES} more" if len(ids) > _CANDIDATES else ""
    some = [one.removeprefix("sha256.") for one in ids[:_CANDIDATES]]
    digits = next(n for n in range(_DIGITS, 65) if len({one[:n] for one in some}) == len(some))
    return (", ".join(one[:digits] for one in some) or "none") + more
