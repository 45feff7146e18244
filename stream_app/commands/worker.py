"""`weir worker`: the service, and the label join across machines beside it."""

import asyncio
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

import click
import uvloop

from stream_app import config as configuration
from stream_app.commands.options import accept_loss_option, config_option, port_option
from stream_app.commands.serve import say_started

if TYPE_CHECKING:
    from stream_app.faust_app import Worker

GOODBYE_S = 10.0
"""How long saying goodbye to a broker may take that may be gone."""


@click.command(epilog="Example: weir worker -c weir.toml")
@config_option
@port_option
@accept_loss_option
@click.option("-v", "--verbose", is_flag=True, help="Log every change of state, Faust's too.")
def worker(config: str | None, port: int | None, accepts_loss: bool, verbose: bool) -> None:
    """Do what `weir serve` does, and join the topics of [join], sharing them with other workers; until SIGTERM."""
    from stream_app import faust_app  # loads Faust: only its users should wait for that

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr, format="%(message)s")
    if not verbose:
        for theirs in faust_app.LOGGERS:  # what ends the worker is said in one line, by us
            logging.getLogger(theirs).setLevel(logging.CRITICAL + 1)
    settings = configuration.load(config)
    if port is not None:
        settings = configuration.replaced(settings, "http", port=port)

    async def working() -> None:
        app = faust_app.build_app(settings)
        app.learning.say_started = say_started
        app.learning.accepts_loss = accepts_loss
        await faust_app.run(app, lambda: _end_in_time(app))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(working())


def _end_in_time(app: "Worker") -> None:
    """The service has ended well; Faust's threads wait for a broker that is away, and cannot be told not to."""

    def leave() -> None:
        if app.failure is not None:
            said = str(app.failure) or repr(app.failure)
            click.echo(f"weir: {' '.join(said.split())}", err=True)
        os._exit(0 if app.failure is None else 2)

    timer = threading.Timer(GOODBYE_S, leave)
    timer.daemon = True
    timer.start()
