"""What a service says of itself: its role, how far and how old its model is, and what is wrong. Changes nothing."""

import time

import msgspec

from stream_app.alerting import Alerting
from stream_app.dead_letters import DeadLetters
from stream_app.deployments import Deployments
from stream_app.elsewhere import Elsewhere
from stream_app.figures import LatestReport
from stream_app.importance_watch import ImportanceWatch
from stream_app.live_keeper import LiveKeeper
from stream_app.loaded_models import LoadedModels
from stream_app.monitor import Monitor
from stream_app.rollout import Rollout
from stream_app.serving import Serving
from stream_app.settings import Settings
from stream_app.shadows import Shadows
from stream_app.sources.source import Source
from stream_app.state_folder import StateFolder
from stream_app.succession import Succession
from stream_app.trainer import Trainer
from stream_app.watch import Watch


class Standing:
    """Reads the parts of a service, which has them."""

    settings: Settings
    is_follower: bool
    trainer: Trainer
    source: Source
    serving: Serving
    monitor: Monitor
    report: LatestReport
    deployments: Deployments
    elsewhere: Elsewhere
    rollout: Rollout
    importance: ImportanceWatch
    alerting: Alerting
    shadows: Shadows
    watch: Watch
    _keeper: LiveKeeper
    _succession: Succession
    _state: StateFolder
    _is_running: bool
    _started_at: float
    """When it was made, by time.monotonic."""

    @property
    def role(self) -> str:
        """What this service does for its model: `learner`, `standby`, or `follower`, which never learns."""
        if self.is_follower:
            return "follower"
        return "standby" if self._succession.is_onlooker else "learner"

    @property
    def models(self) -> LoadedModels:
        """Stored models, ready to predict."""
        return self.deployments.models

    @property
    def model_id(self) -> str:
        """What answers are signed with: the model being learnt, or the checkpoint that is followed."""
        head = self._keeper.head
        is_followed = head is not None and self._succession.is_onlooker and not self._keeper.has_new
        return head if head is not None and is_followed else self.trainer.live_id

    @property
    def lag(self) -> int | None:
        """Records in the source that are not learnt yet; None for a follower that does not know the source."""
        ends = self.source.end()
        if self.is_follower and not ends:
            return None
        start, position = self.source.start(), self.trainer.position
        # The model may be newer than what was last heard of the source, as that of a standby is.
        return sum(max(0, end - position.get(part, start.get(part, 0))) for part, end in ends.items())

    @property
    def is_learning(self) -> bool:
        """Whether this service is the one that learns."""
        return self._succession.is_learning

    @property
    def checkpoint_age_s(self) -> float | None:
        """Since the newest checkpoint that this service knows was taken; None without one."""
        return self._keeper.age_s

    @property
    def checkpoint_failures(self) -> int:
        """Checkpoints that could not be saved since the start, each try counted."""
        return self._keeper.failures

    @property
    def checkpoint_wait_s(self) -> float:
        """How long what this service has learnt may have waited for a checkpoint; 0 where nothing waits."""
        if self.role != "learner" or not self._keeper.has_new:
            return 0.0
        age_s = self.checkpoint_age_s
        return self.uptime_s if age_s is None else min(age_s, self.uptime_s)

    @property
    def uptime_s(self) -> float:
        """Since it was made."""
        return round(time.monotonic() - self._started_at, 1)

    @property
    def model_age_s(self) -> float | None:
        """Since the model learnt last, while records wait to be learnt; 0 while none do. None where nobody knows."""
        lag = self.lag
        if not lag:
            return None if lag is None else 0.0
        if self.role == "learner":
            learnt_at = self.monitor.learnt_at
            return self.uptime_s if learnt_at is None else max(0.0, time.time() - learnt_at)
        return self.checkpoint_age_s

    def status(self) -> dict[str, object]:
        """What it is doing, in one object."""
        trainer = self.trainer
        figures = trainer.parts.progressive.counts()
        return {
            "name": self.settings.model.name,
            "task": self.settings.model.task,
            "role": self.role,
            "model": self.model_id,
            "checkpoint": self._keeper.head,
            "checkpoint_age_s": self.checkpoint_age_s,
            "checkpoint_error": self._keeper.error,
            "ready": not self.problems(),
            "warnings": self.warnings(),
            "position": {str(part): offset for part, offset in sorted(trainer.position.items())},
            "lag": self.lag,
            "examples": figures.get("examples"),
            "average_loss": figures.get("average_loss"),
            "since_last": figures.get("since_last"),
            "value": trainer.value.brief() if trainer.value is not None else None,
            **msgspec.to_builtins(trainer.counts),
            "predictions": self.serving.predictions,
            "labels": self.serving.labels,
            "exact_resume": trainer.parts.learner.traits.exact_resume,
            "unexplained": self.serving.unexplained,
            "alerts": self.alerting.firing,
            "tags": {served.tag: served.deployment.primary for served in self.deployments.all()},
            "importance": self.importance.status(),
            **self.elsewhere.status(),
            "uptime_s": self.uptime_s,
        }

    def problems(self) -> list[str]:
        """Why a client should not rely on this service now; empty while it may."""
        problems = [] if self._is_running else ["not learning yet"]
        nan = self.trainer.parts.learner.nan_predictions
        if nan:
            problems.append(f"{nan} predictions were not finite: the learner has diverged; roll back")
        if self._keeper.error is not None:
            problems.append(f"the last checkpoint was not saved: {self._keeper.error}")
        if self._succession.failure is not None:
            problems.append(self._succession.failure)
        if self._succession.is_onlooker and self._keeper.head is None:
            problems.append(f"there is no checkpoint to follow in {self.settings.checkpoints.url} yet")
        return problems + self._state.problems

    def warnings(self) -> list[str]:
        """What does not work at present though predictions can be relied on: the model grows older meanwhile."""
        parts = (
            self.source, self._succession, self.deployments, self.rollout, self.importance, self.shadows, self.alerting,
            self.watch,
        )  # fmt: skip
        return [one.problem for one in parts if one.problem is not None] + self.elsewhere.problems()

    @property
    def dead_letters(self) -> DeadLetters:
        """What could not be learnt."""
        return self._state.dead_letters
