"""Parcels: a package as one file, to carry it from one store to another. Knows tar, never what a blob means."""

import io
import tarfile
from typing import BinaryIO

import msgspec

from checkpoints.checkpoint import Checkpoint, Note
from checkpoints.errors import CheckpointDamaged, CheckpointError
from checkpoints.manifest import verified
from checkpoints.package import MANIFEST_LIMIT_BYTES, MODEL_JSON, NOTE_LIMIT_BYTES

_ID = "ID"
_ID_LIMIT_BYTES = 128
_NOTE = "note.json"


def pack(checkpoint: Checkpoint, note: Note | None, out: BinaryIO) -> None:
    """Write a parcel: id, MODEL.json, the note if there is one, the blobs by name. Equal inputs give equal bytes."""
    members = {_ID: checkpoint.id.encode(), MODEL_JSON: checkpoint.model_json}
    if note is not None:
        members[_NOTE] = msgspec.json.encode(note)
    members |= {f"blobs/{name}": checkpoint.blobs[name] for name in sorted(checkpoint.blobs)}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))


def unpack(data: BinaryIO) -> tuple[Checkpoint, Note | None]:
    """The package in a parcel, every byte verified, and its note.

    Reads nothing but regular members of the names that `pack` gives, and never more than the manifest says. Raises
    CheckpointDamaged for anything else.
    """
    try:
        with tarfile.open(fileobj=data, mode="r:") as tar:
            return _unpacked(tar)
    except (tarfile.TarError, EOFError) as error:
        raise CheckpointDamaged(f"this is no parcel, or it was cut off: {error}") from error


def _unpacked(tar: tarfile.TarFile) -> tuple[Checkpoint, Note | None]:
    first = tar.next()
    if first is None or first.name != _ID:
        raise CheckpointDamaged(f"this is no parcel: it begins with {first.name if first else 'nothing'!r}")
    model_id = _content(tar, first, _ID_LIMIT_BYTES).decode(errors="backslashreplace")
    second = tar.next()
    if second is None or second.name != MODEL_JSON:
        raise CheckpointDamaged(f"{model_id}: the parcel holds no {MODEL_JSON}")
    model_json = _content(tar, second, MANIFEST_LIMIT_BYTES)
    manifest = verified(model_id, model_json)
    note: Note | None = None
    blobs: dict[str, bytes] = {}
    while (member := tar.next()) is not None:
        if member.name == _NOTE and note is None:
            note = _note(_content(tar, member, NOTE_LIMIT_BYTES))
            continue
        name = member.name.removeprefix("blobs/")
        if name not in manifest.blobs or name in blobs or name == member.name:
            raise CheckpointDamaged(f"{model_id}: the parcel holds {member.name!r}, which is not in the manifest")
        blobs[name] = _content(tar, member, manifest.blobs[name].size)
    return Checkpoint(manifest, blobs), note


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, at_most: int) -> bytes:
    file = tar.extractfile(member) if member.isreg() else None
    if file is None:
        raise CheckpointDamaged(f"{member.name!r} in the parcel is no file")
    if member.size > at_most:
        raise CheckpointDamaged(f"{member.name!r} in the parcel has {member.size} bytes, expected at most {at_most}")
    return file.read()


def _note(data: bytes) -> Note:
    try:
        return msgspec.json.decode(data, type=Note)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"note of the parcel: {error}") from error
