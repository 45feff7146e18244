"""`weir replay`, `verify`, `at` and `explain`: the past learnt again, proven, asked and explained, beside a service."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import click
import msgspec

from checkpoints.checkpoint import Checkpoint, Registry
from checkpoints.lineage import resolve
from formats.example import Example
from learners.explanation import Explanation
from learners.learner import Answer
from stream_app import config as configuration
from stream_app import proof, wiring
from stream_app.commands.event_argument import example_of
from stream_app.commands.explanation import print_explanation
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.progress_bar import records_bar
from stream_app.commands.stored_model import opened, store_option
from stream_app.http.client import Client, NotRunning
from stream_app.leaving_out import Exceptions, time_of
from stream_app.moment import moment
from stream_app.past import Past
from stream_app.past_prediction import PastPrediction, past_prediction
from stream_app.prediction_log import PredictionLog
from stream_app.refusal import ServiceError
from stream_app.replay import Replayed, Wanted
from stream_app.replay import replay as learn_again
from stream_app.serving import LiveModel, decoded, explanation
from stream_app.settings import ConfigError, Settings
from stream_app.sources.source import Source
from stream_app.state_folder import JOURNAL, PREDICTIONS, kept
from stream_app.stored_model import StoredModel
from stream_app.timeline import Timeline

Result = TypeVar("Result")


class Answered(msgspec.Struct, frozen=True):
    """What a model of the past says, and how it came to it."""

    id: str | None
    prediction: Answer
    model: str
    served: object = msgspec.UNSET
    is_equal: bool | msgspec.UnsetType = msgspec.UNSET
    explanation: Explanation | msgspec.UnsetType = msgspec.UNSET


@click.command(epilog="Example: weir replay --from 1f0c3a9b --except 0:5000-6999")
@config_option
@json_option
@click.option("--from", "base", required=True, metavar="ID", help="Checkpoint to begin from, or `start`: nothing.")
@click.option("--to", metavar="OFFSET", help="Learn to here: 12, or 0:12,1:40. Default where the newest one stands.")
@click.option("--except", "offsets", multiple=True, metavar="P:FIRST-LAST", help="Leave out offsets, both included.")
@click.option("--except-time", "times", multiple=True, metavar="FROM..TO", help="Leave out events of these times (ts).")
@click.option("--except-where", "where", multiple=True, metavar="CONDITION", help="Leave out events: \"user = 'u7'\".")
@click.option("--except-ids", "ids", multiple=True, metavar="FILE", help="Leave out events with these ids, one a line.")
@click.option("--why", default="left out", help="Said of each hole in the manifest. Default 'left out'.")
@click.option("--learner-args", metavar="ARGS", help="Learn with other arguments; only --from start.")
@click.option("--learner-kind", type=click.Choice(["vw", "river"]), help="Learn with another library.")
def replay(
    config: str | None, is_json: bool, base: str, to: str | None, offsets: tuple[str, ...], times: tuple[str, ...],
    where: tuple[str, ...], ids: tuple[str, ...], why: str, learner_args: str | None, learner_kind: str | None,
) -> None:  # fmt: skip
    """Learn the past again, with other arguments or without some events; keeps the result as a new package.

    The live model stays as it is. weir deploy serves the package under a tag, weir rollback goes on from it.
    """
    wanted = Wanted(
        base=base,
        to=moment(to) if to is not None else None,
        exceptions=Exceptions(offsets, times, where, ids),
        why=why,
        learner_kind=learner_kind,
        learner_args=learner_args,
    )

    async def replayed(settings: Settings, store: Registry, source: Source, timeline: Timeline) -> Replayed:
        with records_bar("learning again") as tell:
            return await learn_again(settings, store, source, timeline, wanted, tell)

    done = _beside(config, replayed)
    if is_json:
        print_json(done)
        return
    left_out = sum(done.left_out.values())
    reasons = ", ".join(f"{count} by {kind}" for kind, count in done.left_out.items())
    click.echo(done.id)
    click.echo(f"{done.records} records passed, {left_out} left out{reasons and f' ({reasons})'}", err=True)
    if (offsets or times or where or ids) and not left_out:
        click.echo(
            "weir: no record is what was to be left out: are fields, values and places as events have them?", err=True
        )


@click.command(epilog="Example: weir verify 1f0c3a9b")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@config_option
@json_option
def verify(ids: tuple[str, ...], config: str | None, is_json: bool) -> None:
    """Prove packages: learn their part of the log again from their parent, and compare every byte. Default the newest.

    Exit code 1, and the first record that differs, where one is not what parent and log give; 2 where it cannot be
    told, as its parent or the records are no longer kept.
    """

    async def proven(settings: Settings, store: Registry, source: Source, timeline: Timeline) -> list[proof.Proof]:
        if timeline.head is None and not ids:
            raise ConfigError("checkpoints: there are none yet")
        wanted = [resolve(store, model_id) for model_id in ids] or [str(timeline.head)]
        with records_bar("learning again") as tell:
            return [await proof.prove(settings, store, source, model_id, tell) for model_id in wanted]

    proofs = _beside(config, proven)
    if is_json:
        print_json(proofs)
    else:
        for one in proofs:
            click.echo(f"{one.id}: {one.outcome}: {one.said}")
            for remark in one.remarks:
                click.echo(f"  {remark}")
    raise click.exceptions.Exit(proof.told(proofs))


@click.group("at", invoke_without_command=False, epilog='Example: weir at 0:5000 predict \'{"features": {"a": 1}}\'')
@click.argument("place", metavar="TIME|OFFSET")
@click.pass_context
def at(context: click.Context, place: str) -> None:
    """The live model as it was at an offset (12, 0:12,1:40, live@...), or at a time.

    A time is ISO 8601, or Unix seconds with a dot; it means: when all that had been appended by then was learnt.
    """
    context.obj = place


@at.command(epilog="Example: weir at 2026-11-25T18:00:00Z predict @event.json")
@click.argument("event", metavar="EVENT")
@config_option
@json_option
@click.option("--explain", "is_explained", is_flag=True, help="Say what each feature contributed.")
@click.pass_obj
def predict(place: str, event: str, config: str | None, is_json: bool, is_explained: bool) -> None:
    """What it would have answered then. EVENT as events.format has it; @FILE reads a file, - standard input."""

    async def answered(settings: Settings, store: Registry, source: Source, timeline: Timeline) -> Answered:
        past = Past(settings, store, source, timeline)
        is_time = "@" not in place and ("." in place or "T" in place or place.count("-") == 2)
        model = await (past.at_time(time_of(place)) if is_time else past.at(moment(place)))
        return _answered(model, example_of(event, model.format), is_explained)

    _show(_beside(config, answered), is_json)


@click.command(epilog='Example: weir explain \'{"features": {"a": 1}}\'')
@click.argument("event", metavar="[EVENT]", required=False)
@config_option
@json_option
@store_option
@click.option("--model", "model_id", metavar="ID", help="The checkpoint to ask; default the newest.")
@click.option("--prediction", "event_id", metavar="ID", help="Instead of an event: the id that was predicted under.")
@click.option("--top", type=click.IntRange(min=1), default=20, help="So many features in the table. Default 20.")
def explain(
    event: str | None, config: str | None, is_json: bool, store: str | None, model_id: str | None,
    event_id: str | None, top: int,
) -> None:  # fmt: skip
    """Say what each raw field, feature and interaction of an event contributes to a model's raw score.

    EVENT as events.format has it; @FILE reads a file, - standard input. With --prediction instead, the model that gave
    that prediction is rebuilt: exit code 1 where its answer differs from the one served.
    """
    is_alone = event is None and model_id is None and store is None
    if (event is None) == (event_id is None) or (event_id is not None and not is_alone):
        raise ConfigError("give an EVENT, and --model ID for another model; or --prediction ID alone")
    if event_id is None:
        _show(_explained_now(str(event), opened(config, store, model_id)), is_json, top)
        return
    answer = _explained_then(event_id, config)
    _show(answer, is_json, top)
    raise click.exceptions.Exit(0 if answer.is_equal else 1)


def _explained_now(event: str, asked: tuple[Settings, Checkpoint]) -> Answered:
    """By a stored model, which reads the event as it was taught to."""
    settings, checkpoint = asked
    model = wiring.build_stored(settings, checkpoint)
    return _answered(model, example_of(event, model.format), is_explained=True)


def _explained_then(event_id: str, config: str | None) -> Answered:
    """By the model that gave the prediction, and whether it gives it again."""

    async def explained(settings: Settings, store: Registry, source: Source, timeline: Timeline) -> Answered:
        served = await _served(settings, event_id)
        model = await Past(settings, store, source, timeline).of(served)
        example = decoded(model.format, [served.event_base64])[0]
        answer = _answered(model, example, is_explained=True)
        is_equal = answer.prediction == served.prediction
        return msgspec.structs.replace(
            answer, id=event_id, model=served.model, served=served.prediction, is_equal=is_equal
        )

    return _beside(config, explained)


def _beside(config: str | None, use: Callable[[Settings, Registry, Source, Timeline], Awaitable[Result]]) -> Result:
    """What `use` gives, with store and log read beside a service that may be running."""
    settings = configuration.load(config)

    async def used() -> Result:
        store = wiring.build_store(settings)
        source = wiring.build_view(settings)
        try:
            journal = Path(settings.state.dir, JOURNAL)
            return await use(settings, store, source, await asyncio.to_thread(Timeline, store, journal))
        finally:
            await source.close()

    return asyncio.run(used())


async def _served(settings: Settings, event_id: str) -> PastPrediction:
    """From the running service, or from its folder where none runs."""
    try:
        async with Client.of(settings.http) as client:
            answer = await client.get(f"/predictions/{quote(event_id, safe='')}")
            return msgspec.convert(answer, PastPrediction)
    except NotRunning:
        return await asyncio.to_thread(_kept, settings, event_id)


def _kept(settings: Settings, event_id: str) -> PastPrediction:
    folder = Path(settings.state.dir, PREDICTIONS)
    found = None
    if folder.exists():
        log = PredictionLog(folder, kept(settings.predictions))
        found = past_prediction(log, event_id)
        log.close()
    if found is None:
        raise ServiceError(f"id: no prediction of {event_id!r} is kept in {folder}")
    return found


def _answered(model: LiveModel | StoredModel, example: Example, is_explained: bool) -> Answered:
    found = explanation(model.learner, example) if is_explained else msgspec.UNSET
    return Answered(example.id, model.learner.predict(example), model.id, explanation=found)


def _show(answer: Answered, is_json: bool, top: int = 20) -> None:
    if is_json:
        told = msgspec.to_builtins(answer, str_keys=True)
        print_json(told | told.pop("explanation", {}))
        return
    click.echo(f"{answer.prediction} by {answer.model}")
    if answer.is_equal is not msgspec.UNSET:
        said = "the same, bit for bit" if answer.is_equal else "NOT THE SAME"
        click.echo(f"{answer.served} was served: {said}")
    if isinstance(answer.explanation, Explanation):
        print_explanation(answer.explanation, top)
