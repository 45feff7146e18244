"""`weir check`: is everything in order, before the service is started or while it runs."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
from rich.table import Table

from checkpoints import folder_of
from checkpoints.errors import CheckpointError
from checkpoints.lineage import verify
from checkpoints.tags import Tags
from formats.schema import SchemaError
from learners.learner import LearnerError
from stream_app import config as configuration
from stream_app import join_topics, wiring
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.commands.terminal import console
from stream_app.folders import obstacle
from stream_app.history import check_live
from stream_app.http.client import Client, ClientError, NotRunning
from stream_app.http.exposure import check_exposure
from stream_app.sanity import SanitySet
from stream_app.settings import ConfigError, Settings
from stream_app.sources.source import SourceError
from stream_app.trainer import TrainerError

Check = Callable[[Settings], str]
FAILURES = (
    CheckpointError, ClientError, ConfigError, LearnerError, SchemaError, SourceError, TrainerError, OSError,
)  # fmt: skip


@click.command(epilog="Example: weir check -c weir.toml")
@config_option
@json_option
def check(config: str | None, is_json: bool) -> None:
    """Check the settings, the learner's arguments, the checkpoints and the service. Exit code 1 if one fails."""
    settings = configuration.load(config)
    results = _results(settings)
    if is_json:
        print_json(results)
    else:
        table = Table("check", "", "", box=None)
        for result in results:
            table.add_row(str(result["check"]), "ok" if result["passed"] else "FAILED", str(result["said"]))
        console().print(table)
    raise click.exceptions.Exit(0 if all(result["passed"] for result in results) else 1)


def _results(settings: Settings) -> list[dict[str, object]]:
    """One of each check; a failure that several meet is told by the first of them."""
    results: list[dict[str, object]] = []
    failures: dict[str, str] = {}
    for name, run in CHECKS.items():
        try:
            results.append({"check": name, "passed": True, "said": run(settings)})
        except FAILURES as error:
            first = failures.setdefault(str(error), name)
            said = str(error) if first == name else f"not checked: see {first}"
            results.append({"check": name, "passed": False, "said": said})
    return results


def _settings(settings: Settings) -> str:
    check_exposure(settings.http)
    return f"model {settings.model.name}, task {settings.model.task}"


def _learner(settings: Settings) -> str:
    traits = wiring.build_learner(settings).traits
    promise = "resumes exactly" if traits.exact_resume else "does NOT resume exactly"
    return f"{traits.kind} {traits.arguments!r}, {promise}"


def _shadows(settings: Settings) -> str:
    """Every learner of `[shadows.learners]` is built."""
    for name, one in settings.shadows.learners.items():
        try:
            wiring.build_learner(configuration.replaced(settings, "learner", kind=one.kind, args=one.args))
        except LearnerError as error:
            raise ConfigError(f"shadows.learners.{name}: {error}") from error
    return ", ".join(settings.shadows.learners) or "none that learn"


def _format(settings: Settings) -> str:
    wiring.build_format(settings, wiring.build_learner(settings).traits)
    if wiring.source_place(settings)[0] != "file":
        wiring.check_columns(settings)
    return f"{settings.events.format}, label {settings.schema.label or 'as events say'}"


def _checkpoint(settings: Settings) -> str:
    store = wiring.build_store(settings)
    head = store.head()
    if head is None:
        return "none yet"
    checkpoint = store.load(head)
    check_live(checkpoint)
    spec, learner = checkpoint.manifest.learner, wiring.build_learner(settings).traits
    if (spec.kind, spec.arguments) != (learner.kind, learner.arguments):
        raise ConfigError(f"{head[:19]} was learnt by {spec.kind} {spec.arguments!r}, not as learner.args say now")
    return f"{head[:19]} is whole, {verify(store, head).size_bytes} bytes"


def _deploy(settings: Settings) -> str:
    """The sanity set is read, and the tag too where there is one."""
    deploy = settings.deploy
    golden = f"{len(SanitySet(deploy.sanity))} golden events in {deploy.sanity}" if deploy.sanity is not None else ""
    if deploy.tag is None:
        return golden or "nothing is deployed by itself"
    now = Tags(wiring.build_store(settings)).current(deploy.tag)
    return f"{deploy.tag} is {now.primary[:19] if now is not None else 'not deployed yet'}{golden and f', {golden}'}"


def _folders(settings: Settings) -> str:
    """Those that serve would make or write in; none is made."""
    folders = {"state.dir": Path(settings.state.dir)}
    scheme, place = wiring.source_place(settings)
    if scheme == "log":
        folders["source.url"] = Path(place)
    if (store := folder_of(settings.checkpoints.url)) is not None:
        folders["checkpoints.url"] = store
    found = {name: (folder, obstacle(folder)) for name, folder in folders.items()}
    said = [f"{name}: {str(folder)!r}: {why}" for name, (folder, why) in found.items() if why is not None]
    if said:
        raise ConfigError(f"{'; '.join(said)}: name a folder that the service can write in")
    return f"{', '.join(map(str, folders.values()))} can be written"


def _source(settings: Settings) -> str:
    """Opened as the service opens it, which asks a broker; but not a log, which a service that runs holds."""
    scheme, _ = wiring.source_place(settings)
    if scheme == "log":
        return settings.source.url
    format_ = wiring.build_format(settings, wiring.build_learner(settings).traits)
    source = wiring.build_source(settings, format_)
    partitions = len(source.end())
    asyncio.run(source.close())
    return f"{settings.source.url}, {partitions} {'partition' if partitions == 1 else 'partitions'}"


def _join(settings: Settings) -> str:
    join = settings.join
    names = [name for name in (join.predictions, join.labels, join.dead_letters) if name is not None]
    for name in names:
        asyncio.run(join_topics.open_topic(settings, name).close())
    return ", ".join(names) or "labels are joined on the machine that predicted"


def _predictions(settings: Settings) -> str:
    """Opened as the service opens it, where there is a topic; the hook that hears of answers is loaded."""
    wiring.build_predict_hook(settings, Counter())
    if settings.predictions.topic is None:
        return "kept on this machine"
    asyncio.run(wiring.build_prediction_topic(settings).close())
    return settings.predictions.topic


def _service(settings: Settings) -> str:
    async def ready() -> str:
        async with Client.of(settings.http) as client:
            status = await client.get("/status")
            return f"runs at {client.url}, {status['model']}, {status['lag']} behind"

    try:
        return asyncio.run(ready())
    except NotRunning:
        return "not running"


CHECKS: dict[str, Check] = {
    "settings": _settings,
    "learner": _learner,
    "events": _format,
    "checkpoint": _checkpoint,
    "source": _source,
    "join": _join,
    "predictions": _predictions,
    "shadows": _shadows,
    "deploy": _deploy,
    "folders": _folders,
    "service": _service,
}
