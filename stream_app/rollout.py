"""Rollout: each new checkpoint is deployed under `deploy.tag`, as long as loss guard, sanity set and people agree."""

import asyncio
import logging

from checkpoints.tags import By, Deployment, Rolling
from stream_app.deployments import UNFIT, Deployments, Insane
from stream_app.settings import DeploySettings
from stream_app.stored_model import StoredModel

log = logging.getLogger(__name__)

WHO = "weir"
"""Who deploys by itself, in the history of the tag."""


class Rollout:
    """Written on the event loop, beside learning. Where checkpoints come faster than they can be deployed, the newest.

    The loss guard compares a checkpoint's figure over its window with the best of those that were rolled out. Where it
    is worse by more than `guard_worsens_by`, the tag stays (or goes back to the best, by `guard_then`): said once in
    its history, in the log, and by `problem` as long as it lasts. Learning goes on, and a checkpoint that is good again
    is deployed. What a person deploys, or takes back, stays until a person deploys `newest`.
    """

    def __init__(self, settings: DeploySettings, deployments: Deployments) -> None:
        self.problem: str | None = None
        """Why the newest checkpoint was not deployed; None where it was."""
        self._settings = settings
        self._deployments = deployments
        self._newest: str | None = None
        self._deploying: asyncio.Task[None] | None = None

    def offer(self, model_id: str) -> None:
        """A checkpoint is durable: deploy it, soon."""
        if self._settings.tag is None:
            return
        self._newest = model_id
        if self._deploying is None or self._deploying.done():
            self._deploying = asyncio.create_task(self._deploy_newest(self._settings.tag))

    async def close(self) -> None:
        """What is being deployed is deployed whole."""
        if self._deploying is not None:
            await asyncio.wait([self._deploying])

    async def _deploy_newest(self, tag: str) -> None:
        while self._newest is not None:
            model_id, self._newest = self._newest, None
            try:
                await self._deploy(tag, model_id)
            except UNFIT as error:
                self._tell(f"{model_id[:19]} was not deployed under {tag}: {error}")

    async def _deploy(self, tag: str, model_id: str) -> None:
        now = await asyncio.to_thread(self._deployments.tags.current, tag)
        if now is not None and now.rolling is None:
            self._tell(f"{tag} stays as {now.who} has left it: weir deploy -t {tag} -m newest goes on")
            return
        model = await self._deployments.models.get(model_id)
        before = now.rolling if now is not None and now.rolling is not None else Rolling()
        loss = windowed(model, self._settings.guard_metric)
        figures: dict[str, object] = {"metric": f"window.{self._settings.guard_metric}", "loss": loss}
        if self._is_worse(loss, before):
            await self._guard(tag, model, figures | {"best": before.loss}, before, now)
            return
        is_best = loss is not None and (before.loss is None or loss <= before.loss)
        rolling = Rolling(model.id, loss) if is_best else before
        try:
            await self._deployments.deploy(tag, model.id, By(WHO, "newest checkpoint", figures), rolling)
        except Insane as error:
            await self._hold(tag, now, str(error), figures)
            return
        self.problem = None

    def _is_worse(self, loss: float | None, before: Rolling) -> bool:
        allowed = self._settings.guard_worsens_by
        return allowed is not None and loss is not None and before.loss is not None and loss > before.loss + allowed

    async def _guard(
        self, tag: str, model: StoredModel, figures: dict[str, object], before: Rolling, now: Deployment | None
    ) -> None:
        why = f"loss guard: {figures['metric']} of {model.id[:19]} is {figures['loss']}, the best was {before.loss}"
        if self._settings.guard_then == "best" and now is not None and before.best not in (None, now.primary):
            await self._deployments.deploy(tag, str(before.best), By(WHO, why, figures), before)
            self._tell(f"{why}: {tag} went back to {str(before.best)[:19]}")
        else:
            await self._hold(tag, now, f"{why}: it is not deployed", figures)

    async def _hold(self, tag: str, now: Deployment | None, why: str, figures: dict[str, object]) -> None:
        """Noted in the history, if there is one, once in a row."""
        if now is not None and now.action != "held" and now.why != why:
            await asyncio.to_thread(self._deployments.tags.hold, tag, By(WHO, why, figures))
        self._tell(why)

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            log.error(problem)
        self.problem = problem


def windowed(model: StoredModel, metric: str) -> float | None:
    """A figure over the checkpoint's window; None where the window is not full yet, or there is no such figure."""
    window = model.manifest.metrics.get("window")
    if not isinstance(window, dict) or window.get("labelled") != window.get("size"):
        return None
    value = window.get(metric)
    return float(value) if isinstance(value, int | float) else None
