"""The rules of stream_app.alerts, looked at again and again beside learning; changes go to the log and the webhook."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from stream_app.alert_file import AlertFile
from stream_app.alerts import RULES, Alert, Figures, Limits, Rule, judged
from stream_app.beside import Beside
from stream_app.settings import AlertSettings
from stream_app.webhook import Webhook

log = logging.getLogger(__name__)

MOST_CHANGES = 100


class Change(msgspec.Struct, frozen=True):
    """A rule has begun to fire, or has cleared; as the webhook gets it."""

    status: Literal["firing", "resolved"]
    rule: str
    model: str
    summary: str
    value: float | None
    threshold: float
    since: float | None
    """When the rule began to hold, Unix seconds."""
    runbook: str
    at: float
    """When it fired or cleared, Unix seconds."""


class Firing(msgspec.Struct, frozen=True):
    """A rule that fires, as a person is told of it."""

    name: str
    summary: str
    """What is wrong, with the figure."""
    threshold: str
    """Above which it is wrong, written as the figure is."""
    since: float | None
    """When the rule began to hold, Unix seconds."""
    runbook: str


class Alerting:
    """Written on the event loop. What fired when the process before ended goes on firing until it is known not to hold.

    Either way it is told once more: a kill may have been faster than the webhook.
    """

    def __init__(
        self,
        settings: AlertSettings,
        model: str,
        figures: Callable[[], Figures],
        webhook: Webhook | None,
        path: Path,
    ) -> None:
        """`path` is the file that says what fires."""
        self.changes: deque[Change] = deque(maxlen=MOST_CHANGES)
        """The latest ones, oldest first."""
        self._settings = settings
        self._model = model
        self._figures = figures
        self._webhook = webhook
        self._rules = {rule.name: rule for rule in RULES if settings.rule(rule.name).on}
        self._file = AlertFile(path)
        self._is_written = True
        told = self._file.read()
        self._restored = {rule.name: told[rule.name] for rule in RULES if rule.name in told}
        self._alerts = {name: self._restored.get(name, Alert()) for name in self._rules}
        self._told_again: set[str] = set()
        self._began_s = 0.0
        self._past: deque[Figures] = deque()
        self._looking = Beside("looking at the alerts", self._look_on)

    @property
    def firing(self) -> list[str]:
        """Names of the rules that fire."""
        return [name for name, alert in self._alerts.items() if alert.state == "firing"]

    def told(self) -> list[Firing]:
        """What is wrong, rule by rule."""
        firing = self.firing
        return [self._firing(rule, self._alerts[rule.name]) for rule in RULES if rule.name in firing]

    @property
    def problem(self) -> str | None:
        """Why nobody is told of alerts any more; None while everybody is."""
        return self._looking.problem or (self._webhook.problem if self._webhook is not None else None)

    @property
    def rules(self) -> list[str]:
        """Names of the rules that are on."""
        return list(self._rules)

    def status(self) -> dict[str, object]:
        """For `GET /alerts`; `recent` is newest first."""
        return {"firing": self.firing, "rules": [self._row(rule) for rule in RULES], "recent": list(self.changes)[::-1]}

    def start(self) -> None:
        """Look, and go on looking, within a running loop: rates are taken from before anything is learnt."""
        self._try_look()
        self._looking.start()
        if self._webhook is not None:
            self._webhook.start()

    async def close(self) -> None:
        """Look no more; what is still to be posted has a moment for it."""
        await self._looking.close()
        if self._webhook is not None:
            await self._webhook.close()

    def look(self) -> None:
        """Work out every rule once, and tell of what has changed."""
        now = self._figures()
        while len(self._past) > 1 and now.at_s - self._past[1].at_s >= self._settings.window_s:
            self._past.popleft()
        if not self._past:
            self._began_s = now.at_s
        self._past.append(now)
        then = self._past[0]
        told = [rule for rule in RULES if self._judge(rule, now, then)]
        if told or not self._is_written:
            self._is_written = self._file.write({name: self._alerts[name] for name in self.firing} | self._restored)

    def _judge(self, rule: Rule, now: Figures, then: Figures) -> bool:
        """Tell where it has begun to fire, has cleared, or is heard of first in this process; whether that was so."""
        before = self._alerts.get(rule.name, self._restored.get(rule.name, Alert()))
        if rule.name in self._rules:
            value = rule.value(now, then)
            alert = judged(before, value, _limits(rule, self._settings), now.at_s)
            is_over = rule.name in self._restored and alert.state != "firing"
            if is_over and self._is_early(rule, value, now, then):
                return self._tell_again(rule, before, now, then)
            self._alerts[rule.name] = alert
        else:
            alert = Alert()  # it was switched off while it fired
        is_restored = self._restored.pop(rule.name, None) is not None and rule.name not in self._told_again
        if is_restored or (before.state == "firing") != (alert.state == "firing"):
            self._tell(rule, before, alert, now.at_s)
            return True
        return False

    def _tell_again(self, rule: Rule, before: Alert, now: Figures, then: Figures) -> bool:
        """Of a silence that goes on nothing may ever come to be known: it is told at the second look; whether it was.

        What is measured over the window is known once that has passed, and told then.
        """
        if rule.is_windowed or then is now or rule.name in self._told_again:
            return False
        self._told_again.add(rule.name)
        self._tell(rule, before, before, now.at_s)
        return True

    def _is_early(self, rule: Rule, value: float | None, now: Figures, then: Figures) -> bool:
        """Whether this process has not seen enough yet to say that a rule no longer holds."""
        if rule.is_windowed:
            return then is now or now.at_s - self._began_s < self._settings.window_s
        return then is now or value is None

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(self._settings.every_s)
            self._try_look()

    def _try_look(self) -> None:
        try:
            self.look()
        except Exception:
            log.exception("alerts could not be worked out; tried again in %g s", self._settings.every_s)

    def _tell(self, rule: Rule, before: Alert, alert: Alert, now_s: float) -> None:
        is_firing = alert.state == "firing"
        change = Change(
            status="firing" if is_firing else "resolved",
            rule=rule.name,
            model=self._model,
            summary=self._summary(rule, before, alert),
            value=alert.value,
            threshold=_limits(rule, self._settings).threshold,
            since=alert.since if is_firing else before.since,
            runbook=rule.runbook,
            at=now_s,
        )
        self.changes.append(change)
        if is_firing:
            log.warning("alert %s fires: %s; see %s", rule.name, change.summary, rule.runbook)
        else:
            log.warning("alert %s has cleared: %s", rule.name, change.summary)
        if self._webhook is not None:
            self._webhook.send(msgspec.json.encode(change))

    def _firing(self, rule: Rule, alert: Alert) -> Firing:
        threshold = rule.figure.format(_limits(rule, self._settings).threshold)
        return Firing(rule.name, rule.says(alert.value or 0.0), threshold, alert.since, rule.runbook)

    def _summary(self, rule: Rule, before: Alert, alert: Alert) -> str:
        if alert.state == "firing":
            said = rule.says(alert.value or 0.0)
            return f"{said} before the restart; nothing newer is known" if rule.name in self._restored else said
        since = datetime.fromtimestamp(before.since or 0.0, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if rule.name not in self._rules:
            return f"the rule is switched off: it was above its threshold since {since}"
        return rule.resolved(alert.value, _limits(rule, self._settings).threshold, since)

    def _row(self, rule: Rule) -> dict[str, object]:
        alert, limits = self._alerts.get(rule.name), _limits(rule, self._settings)
        return {
            "name": rule.name,
            "state": "off" if alert is None else alert.state,
            "summary": rule.says(alert.value or 0.0) if alert is not None and alert.since is not None else None,
            "value": None if alert is None else alert.value,
            "threshold": limits.threshold,
            "for_s": limits.for_s,
            "since": None if alert is None else alert.since,
            "runbook": rule.runbook,
        }


def _limits(rule: Rule, settings: AlertSettings) -> Limits:
    given = settings.rule(rule.name)
    return Limits(
        rule.threshold if given.threshold is None else given.threshold,
        rule.for_s if given.for_s is None else given.for_s,
    )
