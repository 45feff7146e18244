"""Tags: movable names for models, each with an append-only history. Knows no learner and no request."""

import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from checkpoints.checkpoint import Ledgers
from checkpoints.errors import CheckpointDamaged, CheckpointError, EntryTaken
from checkpoints.ledger import checked_ledger

LIVE = "live"
"""What a tag may point at beside model ids: the model that is being learnt."""

BACK_STEPS = 20
"""So many deployments can be taken back, one after the other; their models stay in the store."""

_TRIES = 20
_PREFIX = "tags/"

Action = Literal["deploy", "back", "add", "remove", "held"]


class TagError(CheckpointError):
    """A tag that is unknown, or cannot be changed as asked. The message says why."""


class UnknownTag(TagError):
    """No such tag."""


class Candidate(msgspec.Struct, frozen=True):
    """A model that answers for a share of the units, beside the primary one."""

    model: str
    weight: float
    """Its share, above 0 and below 1."""


class Target(msgspec.Struct, frozen=True):
    """Who answers: the primary model, and candidates for the rest of the shares."""

    primary: str
    candidates: list[Candidate] = []

    @property
    def models(self) -> list[str]:
        """Everyone who may answer, the primary model first."""
        return [self.primary, *(candidate.model for candidate in self.candidates)]

    def model_for(self, tag: str, unit: str | None) -> str:
        """Who answers for a unit, such as a customer: always the same one, as long as the weights stay.

        Raising the last candidate's weight moves units to it and takes none away from the others. Without a unit it is
        the primary model.
        """
        if not self.candidates or unit is None:
            return self.primary
        digest = blake2b(f"{tag}\0{unit}".encode(errors="surrogatepass"), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        for candidate in self.candidates:
            if place < candidate.weight:
                return candidate.model
            place -= candidate.weight
        return self.primary


class Rolling(msgspec.Struct, frozen=True):
    """New checkpoints follow under this tag by themselves; the best of those so far, by a figure over their windows."""

    best: str | None = None
    loss: float | None = None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a tag's history: what was done, and what the tag is since."""

    number: int
    at: float
    """Unix seconds."""
    who: str
    why: str
    action: Action
    target: Target
    shadows: list[str] = []
    before: list[Target] = []
    """What going back leads to, the next step first."""
    rolling: Rolling | None = None
    """None where a person has decided what is deployed: it stays."""
    previous: str | None = None
    """The primary model before this entry; None for the first one."""
    figures: dict[str, object] = {}
    """What the decision was based on."""

    @property
    def primary(self) -> str:
        """The model that answers."""
        return self.target.primary

    @property
    def models(self) -> list[str]:
        """Every stored model that is asked for now, primary first; not `live`."""
        return [model for model in dict.fromkeys([*self.target.models, *self.shadows]) if model != LIVE]

    def then(self, action: Action, by: "By") -> "Deployment":
        """The entry after this one, by which nothing has changed yet."""
        return msgspec.structs.replace(
            self,
            number=self.number + 1,
            at=time.time(),
            who=by.who,
            why=by.why,
            action=action,
            previous=self.primary,
            figures=by.figures,
        )

    def answered_by(self, target: Target, before: list[Target], rolling: Rolling | None) -> "Deployment":
        """The same with others who answer; the primary one is no shadow any more."""
        shadows = [shadow for shadow in self.shadows if shadow != target.primary]
        return msgspec.structs.replace(self, target=target, shadows=shadows, before=before, rolling=rolling)


class By(msgspec.Struct, frozen=True):
    """Who changes a tag, why, and on which figures."""

    who: str
    why: str = ""
    figures: dict[str, object] = {}


Change = Callable[[Deployment | None], Deployment]
"""From the present state of a tag, None where there is none yet, to the next. Raises TagError."""


class Tags:
    """The tags of a store. Every change is one durable entry, made only after the one that it was decided on.

    Safe from any thread or process; blocking. Whoever changes a tag at the same time as somebody else comes after them,
    and decides anew. What it remembers is only from where on to look, as entries never change.
    """

    def __init__(self, store: Ledgers) -> None:
        self._store = store
        self._known: dict[str, Deployment] = {}

    def names(self) -> list[str]:
        """All tags, sorted."""
        return [name.removeprefix(_PREFIX) for name in self._store.ledgers() if name.startswith(_PREFIX)]

    def current(self, tag: str) -> Deployment | None:
        """What the tag is now; None where there is no such tag."""
        known = self._known.get(tag)
        newer = self._read(tag, -1 if known is None else known.number + 1)
        if newer:
            known = self._known[tag] = newer[-1]
        return known

    def history(self, tag: str) -> Sequence[Deployment]:
        """Every entry, oldest first. Raises TagError for an unknown tag."""
        found = self._read(tag, 0)
        if not found:
            raise UnknownTag(f"tag {tag!r}: there is none of that name; there are: {', '.join(self.names()) or 'none'}")
        return found

    def deploy(self, tag: str, model: str, by: By, rolling: Rolling | None = None) -> Deployment:
        """Let the tag point at `model`, an id or `live`. Nothing is entered where all is so already."""

        def deployed(now: Deployment | None) -> Deployment:
            if now is None:
                return _first(model, by, rolling)
            if now.primary == model and now.rolling == rolling:
                return now
            others = [candidate for candidate in now.target.candidates if candidate.model != model]
            before = now.before if now.primary == model else [now.target, *now.before][:BACK_STEPS]
            return now.then("deploy", by).answered_by(Target(model, others), before, rolling)

        return self._change(tag, deployed)

    def back(self, tag: str, by: By) -> Deployment:
        """Take the last deployment back; again: the one before it. Raises TagError where there is none left."""

        def taken_back(now: Deployment | None) -> Deployment:
            now = _there(tag, now)
            if not now.before:
                raise TagError(f"tag {tag!r}: there is nothing to go back to before {now.primary}")
            return now.then("back", by).answered_by(now.before[0], now.before[1:], None)

        return self._change(tag, taken_back)

    def add(self, tag: str, model: str, weight: float | None, by: By) -> Deployment:
        """Add a shadow, or with a weight a candidate; or change a candidate's weight. Raises TagError."""

        def added(now: Deployment | None) -> Deployment:
            now = _there(tag, now)
            if weight is None:
                if model in now.shadows or model == now.primary:
                    raise TagError(f"tag {tag!r}: {model} is there already, as primary or shadow")
                return msgspec.structs.replace(now.then("add", by), shadows=[*now.shadows, model])
            target = _weighed(tag, now.target, Candidate(model, weight))
            return msgspec.structs.replace(now.then("add", by), target=target)

        return self._change(tag, added)

    def remove(self, tag: str, model: str, by: By) -> Deployment:
        """Remove a shadow or a candidate. Raises TagError where it is neither."""

        def removed(now: Deployment | None) -> Deployment:
            now = _there(tag, now)
            candidates = [candidate for candidate in now.target.candidates if candidate.model != model]
            shadows = [shadow for shadow in now.shadows if shadow != model]
            if (len(candidates), len(shadows)) == (len(now.target.candidates), len(now.shadows)):
                raise TagError(f"tag {tag!r}: {model} is neither a shadow nor a candidate")
            target = Target(now.primary, candidates)
            return msgspec.structs.replace(now.then("remove", by), target=target, shadows=shadows)

        return self._change(tag, removed)

    def hold(self, tag: str, by: By) -> Deployment:
        """Note that something was not deployed, and why: the tag stays as it is. Raises TagError."""
        return self._change(tag, lambda now: _there(tag, now).then("held", by))

    def _change(self, tag: str, change: Change) -> Deployment:
        if tag == LIVE:
            raise TagError(f"tag {tag!r}: it always names the model that is being learnt; choose another name")
        for _ in range(_TRIES):
            now = self.current(tag)
            after = change(now)
            if after is now:
                return after
            try:
                self._store.enter(_PREFIX + tag, after.number, msgspec.json.encode(after))
            except EntryTaken:
                continue
            return after
        raise TagError(f"tag {tag!r}: others change it all the time; nothing was changed, try again")

    def _read(self, tag: str, first: int) -> Sequence[Deployment]:
        entries = self._store.entries(checked_ledger(_PREFIX + tag), first)
        try:
            return [msgspec.json.decode(entry, type=Deployment) for entry in entries]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CheckpointDamaged(f"tag {tag!r}: an entry of its history is damaged: {error}") from error


def _first(model: str, by: By, rolling: Rolling | None) -> Deployment:
    """The entry with which a tag begins."""
    return Deployment(
        number=0,
        at=time.time(),
        who=by.who,
        why=by.why,
        action="deploy",
        target=Target(model),
        rolling=rolling,
        figures=by.figures,
    )


def _there(tag: str, now: Deployment | None) -> Deployment:
    if now is None:
        raise UnknownTag(f"tag {tag!r}: there is none of that name yet; deploy a model under it first")
    return now


def _weighed(tag: str, target: Target, wanted: Candidate) -> Target:
    if not 0.0 < wanted.weight < 1.0:
        raise TagError(f"tag {tag!r}: weight {wanted.weight!r}: expected a share above 0 and below 1")
    if wanted.model == target.primary:
        raise TagError(f"tag {tag!r}: {wanted.model} is the primary model, which answers for all the rest")
    known = [candidate.model for candidate in target.candidates]
    if wanted.model in known:
        candidates = [wanted if one.model == wanted.model else one for one in target.candidates]
    else:
        candidates = [*target.candidates, wanted]
    if sum(candidate.weight for candidate in candidates) >= 1.0:
        raise TagError(f"tag {tag!r}: candidates would weigh 1 or more together, which leaves the primary nothing")
    return Target(target.primary, candidates)
