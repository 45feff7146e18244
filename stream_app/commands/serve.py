"""`weir serve`: the service."""

import asyncio
import logging
import sys

import click
import uvloop

from stream_app import config as configuration
from stream_app.commands.options import accept_loss_option, config_option, port_option
from stream_app.running import run
from stream_app.service import Service


@click.command(epilog="Example: weir serve -c weir.toml")
@config_option
@port_option
@click.option(
    "--follow", "is_follower", is_flag=True, help="Never learn: serve the newest checkpoint of the service that does."
)
@accept_loss_option
@click.option("-v", "--verbose", is_flag=True, help="Log every change of state.")
def serve(config: str | None, port: int | None, is_follower: bool, accepts_loss: bool, verbose: bool) -> None:
    """Learn from the source, serve the live model over HTTP, take checkpoints; until SIGTERM.

    With --follow, as many as one likes serve what another one learns, from the same checkpoints.url.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr, format="%(message)s")
    settings = configuration.load(config)
    if port is not None:
        settings = configuration.replaced(settings, "http", port=port)

    async def serving() -> None:
        service = Service(settings, is_follower=is_follower, accepts_loss=accepts_loss)
        await run(service, lambda bound: say_started(service, bound))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving())


def say_started(service: Service, port: int) -> None:
    """Tell a person where the service answers and what it does."""
    settings = service.settings
    if service.is_follower:
        doing = f"following {settings.checkpoints.url}"
    else:
        doing = f"learning from {settings.source.url} with {service.trainer.parts.learner.traits.kind}"
    click.echo(
        f"weir: {settings.model.name} at http://{settings.http.host}:{port}, {doing}, at {service.model_id}", err=True
    )
