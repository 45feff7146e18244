"""`weir rollback`: back to an older model."""

import asyncio
from typing import Any

import click
import msgspec

from stream_app import config as configuration
from stream_app.commands.options import config_option, json_option, print_json
from stream_app.http.client import Client, NotRunning
from stream_app.leaving_out import offsets_of
from stream_app.rollback import Rollback
from stream_app.service import Service
from stream_app.settings import ConfigError, Settings


@click.command(epilog="Example: weir rollback 1f0c3a9b --replay --except 0:5000-6999")
@click.argument("model_id", metavar="ID")
@config_option
@json_option
@click.option("--skip", "is_skip", is_flag=True, help="Go on from the present position. This is the default.")
@click.option("--replay", "is_replay", is_flag=True, help="Learn again from the checkpoint's position.")
@click.option(
    "--except",
    "excepted",
    multiple=True,
    metavar="PARTITION:FIRST-LAST",
    help="With --replay: offsets to leave out, both ends included. May be repeated.",
)
@click.option("--why", default="", help="Noted beside the new checkpoint, and said of each hole. Default nothing.")
def rollback(
    model_id: str, config: str | None, is_json: bool, is_skip: bool, is_replay: bool, excepted: tuple[str, ...],
    why: str,
) -> None:  # fmt: skip
    """Take the model of an older checkpoint: in the running service, or for the next one if none runs."""
    if is_skip and is_replay:
        raise ConfigError("--skip and --replay: expected one of them; --skip goes on from here, --replay learns again")
    settings = configuration.load(config)
    holes = [offsets_of(text, why or "rollback") for text in excepted]
    wanted = Rollback(id=model_id, replay=is_replay, exceptions=holes, why=why)
    answer = asyncio.run(_roll_back(settings, wanted))
    print_json(answer) if is_json else click.echo(f"{answer['id']} is live, at {answer['model']}")


async def _roll_back(settings: Settings, wanted: Rollback) -> Any:
    try:
        async with Client.of(settings.http) as client:
            return await client.post("/rollback", msgspec.json.encode(wanted))
    except NotRunning:
        service = Service(settings)
        try:
            model_id = await service.rollback(wanted)
            return {"id": model_id, "model": service.trainer.live_id}
        finally:
            await service.close()
