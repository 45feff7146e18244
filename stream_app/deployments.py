"""Deployments: the tags of the store as this process serves them, every model of them loaded before it answers."""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

import msgspec

from checkpoints.checkpoint import Registry
from checkpoints.errors import CheckpointError, CheckpointMissing
from checkpoints.tags import LIVE, By, Deployment, Rolling, TagError, Tags, UnknownTag
from learners.learner import LearnerError
from stream_app.beside import Beside
from stream_app.loaded_models import LoadedModels
from stream_app.refusal import ServiceError
from stream_app.sanity import SanitySet
from stream_app.settings import ConfigError
from stream_app.stored_model import StoredModel
from stream_app.trainer import TrainerError

log = logging.getLogger(__name__)

NEWEST = "newest"
"""Names the newest checkpoint where a model is to be deployed."""

LOOK_S = 1.0
"""How often it is looked whether somebody else has changed a tag."""

UNFIT = (CheckpointError, LearnerError, ConfigError, ServiceError, TrainerError)
"""Why a model may not be loaded."""


class Insane(ServiceError):
    """A model that says of golden events what it must not: it is not deployed."""


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done to a tag; the body of `POST /tags/{tag}`."""

    action: Literal["deploy", "back", "add", "remove", "hold"] = "deploy"
    model: str | None = None
    weight: float | None = None
    why: str = ""
    who: str | None = None
    figures: dict[str, object] = {}


class Served(msgspec.Struct, frozen=True):
    """A tag, and the stored models that answer for it; `live` is not among them."""

    tag: str
    deployment: Deployment
    models: dict[str, StoredModel]


class Deployments:
    """Written on the event loop. A tag changes over between two requests, when all that it names is loaded.

    What cannot be loaded leaves the tag as it was served, and is told as `problem`. Changes that other processes make
    are seen within about LOOK_S.
    """

    def __init__(self, store: Registry, models: LoadedModels, sanity: SanitySet | None) -> None:
        self.tags = Tags(store)
        self.models = models
        self.sanity = sanity
        self._unfit: str | None = None
        self._store = store
        self._served: dict[str, Served] = {}
        self._looking = Beside("looking for changes of tags", self._look_on)

    @property
    def problem(self) -> str | None:
        """Why a tag is not served as it was deployed; None while all are."""
        return self._looking.problem or self._unfit

    def start(self) -> None:
        """Begin to look for changes, within a running loop."""
        self._looking.start()

    async def close(self) -> None:
        """Look no more."""
        await self._looking.close()

    def all(self) -> list[Served]:
        """Every tag as it is served, by name."""
        return [self._served[tag] for tag in sorted(self._served)]

    async def served(self, tag: str) -> Served:
        """The tag as it is served. Raises TagError where there is none, UNFIT where it was never loaded."""
        served = self._served.get(tag)
        if served is None:
            found = await asyncio.to_thread(self.tags.current, tag)
            if found is None:
                raise UnknownTag(f"tag {tag!r}: there is none of that name; weir tags lists them")
            await self._adopt(tag, found)
            served = self._served[tag]
        return served

    async def deploy(self, tag: str, name: str, by: By, rolling: Rolling | None = None) -> Deployment:
        """Let a tag point at the model with this id, prefix, `live` or `newest`: loaded and sane before it answers.

        `newest` is the newest checkpoint, and what comes after it may follow by itself. Raises Insane, TagError, or
        UNFIT; then nothing has changed.
        """
        if name == NEWEST:
            head = await asyncio.to_thread(self._store.head)
            if head is None:
                raise TagError(f"tag {tag!r}: there is no checkpoint yet to deploy")
            name, rolling = head, Rolling()
        model = await self._fit(name, is_to_answer=True)
        return await self._changed(tag, lambda: self.tags.deploy(tag, model, by, rolling), model)

    async def back(self, tag: str, by: By) -> Deployment:
        """Take the last deployment of a tag back. Raises TagError, or UNFIT for what can no longer be loaded."""
        now = await asyncio.to_thread(self.tags.current, tag)
        for target in now.before[:1] if now is not None else []:
            for model in target.models:
                await self._fit(model, is_to_answer=False)
        return await self._changed(tag, lambda: self.tags.back(tag, by))

    async def add(self, tag: str, name: str, weight: float | None, by: By) -> Deployment:
        """Add a shadow, or with a weight a candidate. Raises as `deploy` does."""
        model = await self._fit(name, is_to_answer=weight is not None)
        return await self._changed(tag, lambda: self.tags.add(tag, model, weight, by), model)

    async def remove(self, tag: str, name: str, by: By) -> Deployment:
        """Remove the shadow or candidate whose id is, or begins with, `name`. Raises TagError."""
        now = await asyncio.to_thread(self.tags.current, tag)
        known = [*now.shadows, *(one.model for one in now.target.candidates)] if now is not None else []
        digits = name.removeprefix("sha256.")
        found = [model for model in known if model == name or (len(digits) >= 8 and model[7:].startswith(digits))]
        model = found[0] if len(found) == 1 else name
        return await self._changed(tag, lambda: self.tags.remove(tag, model, by))

    async def hold(self, tag: str, by: By) -> Deployment:
        """Note that something was not deployed, and why. Raises TagError."""
        return await self._changed(tag, lambda: self.tags.hold(tag, by))

    async def look(self) -> None:
        """See what others have changed."""
        problem = None
        try:
            for tag in await asyncio.to_thread(self.tags.names):
                served = self._served.get(tag)
                newer = await asyncio.to_thread(self.tags.current, tag)
                if newer is not None and (served is None or served.deployment.number < newer.number):
                    try:
                        await self._adopt(tag, newer)
                    except UNFIT as error:
                        problem = f"tag {tag}: {newer.primary} was deployed, but cannot be served: {error}"
        except CheckpointError as error:
            problem = f"tags cannot be read: {error}"
        if problem is not None and problem != self._unfit:
            log.error(problem)
        self._unfit = problem

    async def _look_on(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def _fit(self, name: str, is_to_answer: bool) -> str:
        """The full id of a model that can be loaded."""
        if name == LIVE:
            return name
        model = await self.models.get(name)
        failures = self.sanity.failures(model) if self.sanity is not None and is_to_answer else []
        if failures:
            raise Insane(
                f"{model.id} is not deployed, as it fails the sanity set (deploy.sanity): {'; '.join(failures)}"
            )
        return model.id

    async def _changed(self, tag: str, change: Callable[[], Deployment], model: str = LIVE) -> Deployment:
        before = await asyncio.to_thread(self.tags.current, tag)
        after = await asyncio.to_thread(change)
        known = {target.primary for target in (before.target, *before.before)} if before is not None else set()
        if model not in known | {LIVE} and not await asyncio.to_thread(self._is_kept, model):
            raise CheckpointMissing(f"{model} was removed while it was deployed: deploy another one for {tag!r}")
        await self._adopt(tag, after)
        log.info("tag %s: %s, %s by %s", tag, after.primary, after.action, after.who)
        return after

    def _is_kept(self, model: str) -> bool:
        return any(summary.id == model for summary in self._store.list())

    async def _adopt(self, tag: str, deployment: Deployment) -> None:
        models = {name: await self.models.get(name) for name in deployment.target.models if name != LIVE}
        served = self._served.get(tag)
        if served is None or served.deployment.number < deployment.number:
            self._served[tag] = Served(tag, deployment, models)


async def changed(deployments: Deployments, tag: str, wanted: Wanted, by: By) -> Deployment:
    """Do what is wanted. Raises what `deployments` raises, and ServiceError where the wish is incomplete."""
    if wanted.action == "back":
        return await deployments.back(tag, by)
    if wanted.action == "hold":
        return await deployments.hold(tag, by)
    if wanted.model is None:
        raise ServiceError(f"model: required to {wanted.action}; the id of a checkpoint, `live`, or `newest` to deploy")
    if wanted.action == "deploy":
        return await deployments.deploy(tag, wanted.model, by)
    if wanted.action == "add":
        return await deployments.add(tag, wanted.model, wanted.weight, by)
    return await deployments.remove(tag, wanted.model, by)


def shown(tag: str, entry: Deployment) -> dict[str, object]:
    """An entry of a history, for people and programs."""
    return {
        "tag": tag,
        "primary": entry.primary,
        "candidates": entry.target.candidates,
        "shadows": entry.shadows,
        "number": entry.number,
        "action": entry.action,
        "at": entry.at,
        "who": entry.who,
        "why": entry.why,
        "previous": entry.previous,
        "figures": entry.figures,
        "follows_checkpoints": entry.rolling is not None,
    }
