"""`weir serve`: the service."""

import asyncio
import logging
import sys

import click
import uvloop

from stream_app import config as configuration
from stream_app.commands.options import config_option
from stream_app.running import run
from stream_app.service import Service


@click.command(epilog="Example: weir serve -c weir.toml")
@config_option
@click.option("--port", type=int, help="Listen on this port instead of http.port; 0 takes a free one.")
@click.option("-v", "--verbose", is_flag=True, help="Log every change of state.")
def serve(config: str | None, port: int | None, verbose: bool) -> None:
    """Learn from the source, serve the live model over HTTP, take checkpoints; until SIGTERM."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr, format="%(message)s")
    settings = configuration.load(config)
    if port is not None:
        settings = configuration.replaced(settings, "http", port=port)

    async def serving() -> None:
        service = Service(settings)
        await run(service, lambda bound: _say_started(service, bound))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving())


def _say_started(service: Service, port: int) -> None:
    settings = service.settings
    click.echo(
        f"weir: {settings.model.name} at http://{settings.http.host}:{port}, learning from {settings.source.url} "
        f"with {service.trainer.parts.learner.traits.kind}, at {service.trainer.live_id}",
        err=True,
    )
