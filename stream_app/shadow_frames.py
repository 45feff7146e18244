"""What a service and its shadows say to each other: one msgpack message per packet of a Unix socket."""

from typing import Any

import msgspec

from stream_app.settings import Settings

MOST_BYTES = 1 << 20

KEPT = 100_000
"""Paired losses, and answers to requests, that a shadow keeps."""


class ShadowSpec(msgspec.Struct, frozen=True):
    """Which model a shadow is, and whom it is held against."""

    name: str
    """Unique in a service, and a plain folder name."""
    primary: str
    """A model id, or `live`."""
    tag: str | None = None
    """Whose requests it sees; None: those of `/predict`."""
    model: str | None = None
    """A stored model, which learns nothing more; None for a learner of its own."""
    kind: str | None = None
    args: str | None = None
    begin: str = "live"
    begun: str | None = None
    """Where the primary is `live`: its last rollback or takeover. Another one, and the comparison begins anew."""


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first message to a shadow."""

    spec: ShadowSpec
    settings: bytes
    folder: str

    @classmethod
    def of(cls, spec: ShadowSpec, settings: Settings, folder: str) -> "Begin":
        """Settings and all."""
        return cls(spec, msgspec.json.encode(settings), folder)


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A request that the primary model has answered."""

    payload: bytes
    answer: Any


class Over(msgspec.Struct, frozen=True, tag=True):
    """How both did over the last so many labelled events."""

    number: int
    examples: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Losses of shadow and primary on the same events, and where the difference lies (95 %, at every look)."""

    metric: str
    examples: int = 0
    loss: float | None = None
    primary_loss: float | None = None
    behind: float | None = None
    low: float | None = None
    high: float | None = None
    value: float | None = None
    """What the decisions of both were worth on these events, where `[value]` is set."""
    primary_value: float | None = None


class OverFigures(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Over`."""

    number: int
    figures: Figures


class Status(msgspec.Struct, kw_only=True, tag=True):
    """What a shadow says of itself about once a second."""

    figures: Figures
    model: str
    position: dict[int, int] = {}
    records: int = 0
    unpaired: int = 0
    """Records whose events one of the two did not take."""
    requests: int = 0
    disagreements: int = 0
    """Other class, at 0.5 where there are two."""
    mean_difference: float | None = None
    """Of scores, absolute."""
    failed: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    lag: int = 0
    anew: str | None = None
    """Why it has begun anew since its process began, where it has."""


class Alive(msgspec.Struct, frozen=True, tag=True):
    """What a shadow says while it is not ready yet."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why a shadow ends."""

    said: str


ToShadow = Begin | Asked | Over
FromShadow = OverFigures | Status | Alive | Failed
to_shadow = msgspec.msgpack.Decoder(ToShadow)
from_shadow = msgspec.msgpack.Decoder(FromShadow)
encode = msgspec.msgpack.Encoder().encode
