"""The files that a backfill learns: how far each was learnt, and whether they are still what was learnt."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from checkpoints.checkpoint import Checkpoint
from checkpoints.manifest import LearntFile, Manifest
from stream_app.sources.source import Records
from stream_app.trainer import TrainerError


class History:
    """Counts and hashes the records of each file, in order; of those learnt before, compares the hash.

    Raises TrainerError, naming the file, where what was learnt before is no longer there: as soon as names and sizes
    show it, else when its last learnt record has been read. Sizes are those at the beginning of the run: what became
    of the files since does not matter to what was learnt.
    """

    def __init__(self, paths: Sequence[Path], sizes: Sequence[int], learnt: Sequence[LearntFile] = ()) -> None:
        self._paths = paths
        self._sizes = sizes
        self._before = learnt
        self._done: list[LearntFile] = []
        self._records = 0
        self._sha256 = hashlib.sha256()
        self._check_names()

    def new(self, index: int, records: Records) -> Records | None:
        """Those of the records, of the file with this index, that were not learnt before; None where there are none."""
        while len(self._done) < index:
            self._close_file()
        before = self._before[index] if index < len(self._before) else None
        known = max(0, before.records - self._records) if before is not None else 0
        self._add(records.payloads[:known])
        if before is not None and known and self._records == before.records:
            self._check_hash(before)
        new = records.payloads[known:]
        if not new:
            return None
        if index < len(self._before) - 1:
            raise self._changed(f"has more than the {self._before[index].records} records that were learnt of it")
        self._add(new)
        return msgspec.structs.replace(records, offset=records.offset + known, payloads=new)

    def end(self) -> None:
        """All files have been read. Raises TrainerError where less was there than was learnt before."""
        while len(self._done) < len(self._paths):
            self._close_file()

    def files(self) -> list[LearntFile]:
        """What was learnt so far."""
        if len(self._done) == len(self._paths):
            return list(self._done)
        return [*self._done, self._file()]

    def _add(self, payloads: Sequence[bytes]) -> None:
        if payloads:
            self._records += len(payloads)
            self._sha256.update(b"\n".join([*payloads, b""]))

    def _file(self) -> LearntFile:
        number = len(self._done)
        digest = self._sha256.copy().hexdigest()
        return LearntFile(name=self._paths[number].name, size=self._sizes[number], records=self._records, sha256=digest)

    def _close_file(self) -> None:
        number = len(self._done)
        if number < len(self._before) and self._records < self._before[number].records:
            learnt = self._before[number].records
            raise self._changed(f"ends after {self._records} records, but {learnt} were learnt of it")
        self._done.append(self._file())
        self._records, self._sha256 = 0, hashlib.sha256()

    def _check_names(self) -> None:
        for number, before in enumerate(self._before):
            path = self._paths[number] if number < len(self._paths) else None
            if path is None or path.name != before.name:
                found = f"is {str(path)!r}" if path is not None else "is missing"
                raise TrainerError(
                    f"--resume: FILE {number + 1} {found}, but {before.name!r} was learnt there: name the same files "
                    "in the same order; further ones may follow"
                )
        for path, size, before in zip(self._paths, self._sizes, self._before[:-1], strict=False):
            if size != before.size:
                raise TrainerError(
                    f"--resume: {path} has {size} bytes, but had {before.size} when it was learnt: only the last file "
                    "learnt from may have grown; put the old one back, or begin again in an empty folder"
                )

    def _check_hash(self, before: LearntFile) -> None:
        if self._sha256.copy().hexdigest() != before.sha256:
            raise self._changed(f"is not what was learnt: its first {before.records} records have changed")

    def _changed(self, what: str) -> TrainerError:
        path = self._paths[len(self._done)]
        return TrainerError(f"--resume: {path} {what}: put the old one back, or begin again in an empty folder")


def is_live(manifest: Manifest) -> bool:
    """Whether the position counts in the live stream, not in files."""
    return manifest.backfill is None or manifest.backfill.is_finished


def is_seam(manifest: Manifest) -> bool:
    """Whether nothing of the live stream has been learnt after the files: no order of it can have been lost."""
    backfill = manifest.backfill
    is_here = backfill is not None and backfill.is_finished and manifest.position == backfill.live_from
    return is_here and not manifest.since_parent.records


def check_live(checkpoint: Checkpoint) -> None:
    """Raises TrainerError for a checkpoint whose position counts in the files of a backfill."""
    if not is_live(checkpoint.manifest):
        learnt = checkpoint.manifest.position.get(0, 0)
        raise TrainerError(
            f"{checkpoint.id} is of a backfill that is not finished: it has learnt {learnt} records of files, which is "
            "no position of the stream. Finish it with weir train --resume FILE..., or name a later checkpoint"
        )
