"""`weir check`: is everything in order, before the service is started or while it runs."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from checkpoints.errors import CheckpointError
from checkpoints.lineage import verify
from formats.schema import SchemaError
from learners.learner import LearnerError
from stream_app import config as configuration
from stream_app import wiring
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.config import ConfigError, Settings
from stream_app.http.app import check_exposure
from stream_app.http.client import Client, ClientError, NotRunning
from stream_app.sources.source import SourceError

Check = Callable[[Settings], str]


@click.command(epilog="Example: weir check -c weir.toml")
@config_option
@json_option
def check(config: str | None, is_json: bool) -> None:
    """Check the settings, the learner's arguments, the checkpoints and the service. Exit code 1 if one fails."""
    settings = configuration.load(config)
    results = [_result(name, run, settings) for name, run in CHECKS.items()]
    if is_json:
        print_json(results)
    else:
        table = Table("check", "", "", box=None)
        for result in results:
            table.add_row(str(result["check"]), "ok" if result["passed"] else "FAILED", str(result["said"]))
        Console().print(table)
    raise click.exceptions.Exit(0 if all(result["passed"] for result in results) else 1)


def _result(name: str, run: Check, settings: Settings) -> dict[str, object]:
    try:
        return {"check": name, "passed": True, "said": run(settings)}
    except (CheckpointError, ClientError, ConfigError, LearnerError, SchemaError, SourceError, OSError) as error:
        return {"check": name, "passed": False, "said": str(error)}


def _settings(settings: Settings) -> str:
    check_exposure(settings.http)
    return f"model {settings.model.name}, task {settings.model.task}"


def _learner(settings: Settings) -> str:
    traits = wiring.build_learner(settings).traits
    promise = "resumes exactly" if traits.exact_resume else "does NOT resume exactly"
    return f"{traits.kind} {traits.arguments!r}, {promise}"


def _format(settings: Settings) -> str:
    wiring.build_format(settings, wiring.build_learner(settings).traits)
    return f"{settings.events.format}, label {settings.schema.label or 'as events say'}"


def _checkpoint(settings: Settings) -> str:
    store = wiring.build_store(settings)
    head = store.head()
    if head is None:
        return "none yet"
    spec, learner = store.load(head).manifest.learner, wiring.build_learner(settings).traits
    if (spec.kind, spec.arguments) != (learner.kind, learner.arguments):
        raise ConfigError(f"{head[:19]} was learnt by {spec.kind} {spec.arguments!r}, not as learner.args say now")
    return f"{head[:19]} is whole, {verify(store, head).size_bytes} bytes"


def _folders(settings: Settings) -> str:
    folder = Path(settings.state.dir)
    while not folder.exists():
        folder = folder.parent
    probe = folder / ".weir-check"
    probe.write_bytes(b"")
    probe.unlink()
    return f"{settings.state.dir} can be written"


def _source(settings: Settings) -> str:
    scheme, place = wiring.source_place(settings)
    return f"{scheme} at {place}"


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
    "folders": _folders,
    "service": _service,
}
