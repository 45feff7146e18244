"""What a package is in every store: its files, their bounds, and what a listing tells of it. Knows no medium."""

import logging

import msgspec

from checkpoints.checkpoint import Checkpoint, CheckpointStore, Note, Summary
from checkpoints.errors import CheckpointDamaged, CheckpointError, CheckpointMissing, HeadMoved
from checkpoints.manifest import MODEL_ID, verified

MODEL_JSON = "MODEL.json"
MANIFEST_LIMIT_BYTES = 64 * 1024 * 1024
NOTE_LIMIT_BYTES = 64 * 1024

logger = logging.getLogger(__name__)


def checked_id(model_id: str) -> str:
    """The id. Raises CheckpointMissing for what is none."""
    if not MODEL_ID.fullmatch(model_id):
        raise CheckpointMissing(f"{model_id!r} is no model id, expected sha256.<64 hex digits>")
    return model_id


def bounded_manifest(checkpoint: Checkpoint) -> bytes:
    """Its MODEL.json. Raises CheckpointError for one that no store would read back."""
    found = checkpoint.model_json
    if len(found) > MANIFEST_LIMIT_BYTES:
        raise CheckpointError(f"manifest is {len(found)} bytes, expected at most {MANIFEST_LIMIT_BYTES}")
    return found


def is_whole(store: CheckpointStore, model_id: str) -> bool:
    """Whether the package is there and whole; one that is not will be replaced."""
    try:
        store.load(model_id)
    except CheckpointMissing:
        return False
    except CheckpointDamaged as error:
        logger.warning("saving over a damaged checkpoint: %s", error)
        return False
    return True


def summary_of(name: str, data: bytes, note: Note | None) -> Summary:
    """A line of a listing, from the bytes of a MODEL.json."""
    try:
        manifest = verified(name, data)
    except CheckpointError as error:
        return Summary(name, note, 0, None, str(error))
    return Summary(name, note, len(data) + sum(entry.size for entry in manifest.blobs.values()), manifest)


def foreign(name: str) -> Summary:
    """A line of a listing for what is no package."""
    return Summary(name, None, 0, None, "not a checkpoint: its name is no model id")


def note_in(data: bytes | None) -> Note | None:
    """The note that these bytes are; None where they are none: the package is whole without it."""
    try:
        return msgspec.json.decode(data, type=Note) if data is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def head_moved(place: object, head: str | None, expected: str | None) -> HeadMoved:
    """The error of a writer that another one has overtaken in the store at this place."""
    return HeadMoved(
        f"checkpoint not saved: HEAD of {place} is {head}, expected {expected}: another service saves here; stop one "
        "of the two"
    )
