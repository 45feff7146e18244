"""Promotions: whether a shadow is better than what a tag serves, by a condition over the events that both have seen."""

import re
from collections.abc import Sequence

import msgspec

from stream_app.condition import Condition
from stream_app.settings import ConfigError
from stream_app.shadow_frames import KEPT, Figures
from stream_app.shadows import ShadowReport

_OVER = re.compile(r"(?P<condition>.+?)\s+over\s+(?P<examples>\d+)\s*(?P<surely>surely)?\s*")


class Wish(msgspec.Struct, frozen=True):
    """`log_loss < primary - 0.005 over 5000 [surely]`, taken apart."""

    text: str
    condition: str
    examples: int
    is_surely: bool
    """Whether the interval of the difference must lie below zero as well."""


class Decision(msgspec.Struct, frozen=True):
    """What was decided about one shadow, and on which figures."""

    shadow: str
    model: str | None
    is_promoted: bool
    why: str
    figures: Figures | None


def wish(text: str) -> Wish:
    """Raises ConfigError for what is no condition over a number of events.

    >>> wish("log_loss < primary - 0.005 over 5000").examples
    5000
    """
    match = _OVER.fullmatch(text)
    if match is None or not 0 < int(match["examples"]) <= KEPT:
        raise ConfigError(f'--if: {text!r}: expected such as "log_loss < primary - 0.005 over 5000", at most {KEPT}')
    Condition(match["condition"])
    return Wish(text, match["condition"], int(match["examples"]), match["surely"] is not None)


def decide(wanted: Wish, shadows: Sequence[ShadowReport]) -> list[Decision]:
    """About each shadow, the one with the least loss first; at most that one is promoted.

    Raises ConfigError for a name that is neither the loss of the task nor `primary`.
    """
    for metric in {found.metric for shadow in shadows if (found := _figures(shadow)) is not None}:
        Condition(wanted.condition).check([metric, "primary"])
    decisions = [_decision(wanted, shadow) for shadow in shadows]
    decisions.sort(key=lambda one: (not one.is_promoted, _loss(one)))
    return [
        one if index == 0 or not one.is_promoted else _second(one, decisions[0]) for index, one in enumerate(decisions)
    ]


def _figures(shadow: ShadowReport) -> Figures | None:
    """Such as there are, however few events they are of: they name the loss of the task."""
    return shadow.over or (shadow.status.figures if shadow.status is not None else None)


def _decision(wanted: Wish, shadow: ShadowReport) -> Decision:
    figures = shadow.over
    model = shadow.status.model if shadow.status is not None else None
    if figures is None or figures.loss is None:
        return Decision(shadow.name, model, False, f"no figures: {shadow.state}", figures)
    if figures.examples < wanted.examples:
        said = f"only {figures.examples} labelled events so far, {wanted.examples} are wanted"
        return Decision(shadow.name, model, False, said, figures)
    holds = Condition(wanted.condition).holds({figures.metric: figures.loss, "primary": figures.primary_loss})
    said = f"{figures.metric} {figures.loss:.6f}, primary {figures.primary_loss:.6f}"
    if holds and wanted.is_surely and (figures.high is None or figures.high >= 0):
        return Decision(shadow.name, model, False, f"{said}: not surely better", figures)
    return Decision(shadow.name, model, holds, said, figures)


def _loss(one: Decision) -> float:
    return one.figures.loss if one.figures is not None and one.figures.loss is not None else float("inf")


def _second(one: Decision, best: Decision) -> Decision:
    return msgspec.structs.replace(one, is_promoted=False, why=f"{one.why}: {best.shadow} is better")
