"""The manifest: all that a model was made from, as one canonical JSON document whose sha256 is the model's id."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from checkpoints.errors import CheckpointDamaged, CheckpointError

FORMAT = 1
MODEL_ID = re.compile(r"sha256\.[0-9a-f]{64}")

ModelId = Annotated[str, msgspec.Meta(pattern=r"\Asha256\.[0-9a-f]{64}\Z")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
BlobName = Annotated[str, msgspec.Meta(pattern=r"\A(?!model\.json\Z)[a-z0-9][a-z0-9._-]{0,99}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Position = dict[Count, Count]
"""Per partition, the next offset to read."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object of the manifest. Unknown fields are refused: what is not understood must not be passed over."""


class Model(Part, frozen=True):
    """Which model this is, in the words of those who run it."""

    name: str
    task: str
    owner: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class LearnerSpec(Part, frozen=True):
    """What the learner must be built with before it takes its state back."""

    kind: str
    arguments: str


class Stretch(Part, frozen=True):
    """The part of the stream learnt since the parent."""

    records: Count
    examples: Count
    sha256: Sha256
    """Rolling sha256 over the raw records, as the trainer computes it."""
    first_time_s: float | None = None
    last_time_s: float | None = None


class Hole(Part, frozen=True):
    """Offsets `first` to before `last` of one partition, not learnt, and why."""

    partition: Count
    first: Count
    last: Count
    why: str

    def __post_init__(self) -> None:
        if self.first >= self.last:
            raise CheckpointError(f"manifest: hole from {self.first!r} to before {self.last!r}, expected first < last")


class LearntFile(Part, frozen=True):
    """A file of a backfill, as far as it was learnt."""

    name: str
    """Its name without folders: where it lies does not matter."""
    size: Count
    """Bytes that it had."""
    records: Count
    sha256: Sha256
    """Over its records that were learnt, each followed by a line feed."""


class Backfill(Part, frozen=True):
    """History that was learnt from files before the live stream.

    While it is not finished, the position of the checkpoint counts in the files: partition 0, records over all of them.
    """

    files: list[LearntFile]
    live_from: Position
    """Where the live stream is read from afterwards; a partition that is not named, from its beginning."""
    is_finished: bool = False
    rows: dict[str, object] = msgspec.field(default_factory=dict)
    """How rows of CSV were read: columns, separator, encoding, quoting. Left out where it is empty."""


class Blob(Part, frozen=True):
    """The sha256 and the length in bytes of one blob."""

    sha256: Sha256
    size: Count


class Manifest(Part, frozen=True, rename={"except_": "except"}):
    """What a checkpoint says of itself. Equal inputs give equal manifests: nothing in it varies by run.

    A field added later must stay out of the canonical form while it has its default, so that old ids stand.
    """

    model: Model
    learner: LearnerSpec
    versions: dict[str, str]
    """Versions of python, weir and the libraries that learnt."""
    platform: str
    position: Position
    since_parent: Stretch
    exact_resume: bool
    """Whether restoring and reading on gives the bytes of never having stopped."""
    format: int = FORMAT
    schema: dict[str, object] = msgspec.field(default_factory=dict)
    git_commit: str | None = None
    parent: ModelId | None = None
    order_lost_at: Position | None = None
    """From where on the order learnt is not the original one; None: it is, throughout."""
    holes: list[Hole] = msgspec.field(default_factory=list)
    """What this model has not learnt from, over its whole lineage."""
    except_: list[Hole] = msgspec.field(default_factory=list)
    """What lies ahead and must not be learnt."""
    backfill: Backfill | None = None
    """The files that this model, or an ancestor, was learnt from. Not in the canonical form while it is None."""
    begun: ModelId | None = None
    """The checkpoint of a takeover or rollback since which one service has learnt; in such a checkpoint itself, the one
    before it. Not in the canonical form while it is None."""
    metrics: dict[str, object] = msgspec.field(default_factory=dict)
    blobs: dict[BlobName, Blob] = msgspec.field(default_factory=dict)


_AnyPart = TypeVar("_AnyPart", bound=Part)


def canonical(manifest: Part) -> bytes:
    """The canonical JSON: keys sorted as strings, no whitespace, UTF-8, floats as `repr` writes them.

    Raises CheckpointError, naming the field, for what JSON cannot carry (NaN, infinities, sets, lone surrogates)
    and for values that do not fit their type.

    >>> canonical(Blob(sha256="00" * 32, size=1))[:24]  # any part of a manifest has a canonical form
    b'{"sha256":"0000000000000'
    """
    tree = _plain(detached(manifest), "")
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(f"manifest: {error.object[error.start]!r} cannot be written as UTF-8") from error


def detached(part: _AnyPart) -> _AnyPart:
    """A copy that shares nothing with the caller's dicts and lists, its types checked. Raises CheckpointError."""
    try:
        return msgspec.convert(_plain(part, ""), type(part), str_keys=True)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"manifest: {error}") from error


def id_of(data: bytes) -> str:
    """The model id of a canonical manifest.

    >>> id_of(b"{}")[:15]
    'sha256.44136fa3'
    """
    return f"sha256.{hashlib.sha256(data).hexdigest()}"


def decode(data: bytes) -> Manifest:
    """Read back what `canonical` wrote. Raises CheckpointError for anything else, other formats included."""
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found != FORMAT:
            raise CheckpointError(
                f"manifest: format {found!r}, expected {FORMAT}: use the version of weir that wrote it"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"manifest: {error}") from error
    if canonical(manifest) != data:
        raise CheckpointError("manifest: not in canonical form")
    return manifest


def verified(model_id: str, data: bytes) -> Manifest:
    """The manifest of a package from the bytes of its MODEL.json.

    Raises CheckpointDamaged where they are not what the id is the hash of, CheckpointError where they are no manifest.
    """
    found = id_of(data)
    if found != model_id:
        raise CheckpointDamaged(f"{model_id}: MODEL.json has sha256 {found[7:]}, the package's name says otherwise")
    try:
        return decode(data)
    except CheckpointError as error:
        raise CheckpointError(f"{model_id}: {error}") from error


class _Format(msgspec.Struct):
    format: int


def _plain(value: object, where: str) -> object:
    """`value` as fresh dicts, lists and scalars of JSON."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{row}]") for row, item in enumerate(value)]
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        value = {written: getattr(value, name) for written, name in names if not _is_unsaid(value, name)}
    if isinstance(value, Mapping):
        return _plain_object(value, where)
    raise CheckpointError(f"manifest: {where.lstrip('.')} is {value!r}, expected a finite number or other JSON value")


def _is_unsaid(part: msgspec.Struct, name: str) -> bool:
    """Whether a field is left out: one that was added after the first manifests were written, and says nothing."""
    if isinstance(part, Backfill):
        return name == "rows" and not part.rows
    return isinstance(part, Manifest) and name in ("backfill", "begun") and getattr(part, name) is None


def _plain_object(mapping: Mapping[object, object], where: str) -> dict[str, object]:
    tree = {str(key): _plain(value, f"{where}.{key}") for key, value in mapping.items() if isinstance(key, (str, int))}
    if len(tree) != len(mapping):
        raise CheckpointError(f"manifest: keys of {where.lstrip('.')} are {list(mapping)!r}, expected distinct strings")
    return tree
