"""`weir predict`: a stored model's answers for a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click
import msgspec

from formats.vw_text import tag_of
from learners.learner import Answer, Learner
from stream_app import config as configuration
from stream_app import wiring
from stream_app.commands.options import config_option, format_option, json_option
from stream_app.commands.stored_model import opened, store_option
from stream_app.dead_letters import printable
from stream_app.file_formats import format_of
from stream_app.outputs import check_outputs
from stream_app.settings import Settings
from stream_app.sources.file import FileSource
from stream_app.sources.source import Records

BATCH = 512
TOLD = 10
"""Events that could not be read and are told one by one; of more, only the number."""


@click.command(epilog="Example: weir predict new.vw --store models -p predictions.txt")
@click.argument("file", metavar="FILE")
@config_option
@json_option
@click.option("--model", "model_id", metavar="ID", help="Checkpoint to predict with; default the newest.")
@store_option
@format_option(
    "How events are written; default events.format, else as the file's name tells, else as the model's were."
)
@click.option("-p", "--predictions", metavar="FILE", help="Write the answers to this file; default standard output.")
def predict(
    file: str, config: str | None, is_json: bool, model_id: str | None, store: str | None, format_: str | None,
    predictions: str | None,
) -> None:  # fmt: skip
    """Predict every event of FILE with a stored model, one answer a line; labels in it are not looked at.

    Numbers are written as VW's -p writes them, and the tags of VW text behind them; --json has all digits. An event
    that cannot be read gets an empty line (with --json an error), a reason on stderr, and exit code 1 at the end.
    """
    if file.startswith("@") and not Path(file).exists():
        raise click.UsageError(f"FILE: {file!r}: there is no such file; here a file is named without @: {file[1:]!r}")
    settings, checkpoint = opened(config, store, model_id)
    format_ = format_of([file], config, format_)
    if format_ is not None:
        settings = configuration.replaced(settings, "events", format=format_)
    learner = wiring.build_learner(settings)
    learner.restore(checkpoint.blobs["learner"])
    reading = _Reading(settings, learner, file)
    with _output(file, predictions) as out:
        for line in reading:
            out.write(line.json(checkpoint.id) if is_json else line.text())
            out.write("\n")
    reading.tell_dead()
    raise click.exceptions.Exit(1 if reading.dead else 0)


class _Line(msgspec.Struct, frozen=True):
    """What is printed of one event: the answer, or why there is none."""

    id: str | None = None
    answer: Answer | None = None
    tag: str = ""
    reason: str | None = None

    def json(self, model: str) -> str:
        if self.reason is not None:
            return msgspec.json.encode({"error": self.reason}).decode()
        return msgspec.json.encode({"id": self.id, "prediction": self.answer, "model": model}).decode()

    def text(self) -> str:
        if self.answer is None:
            return ""
        answer = _as_vw(self.answer) if isinstance(self.answer, int | float) else str(self.answer)
        return f"{answer} {self.tag}" if self.tag else answer


class _Reading:
    """The answers for a file, event by event; counts those that could not be read, and tells the first of them."""

    def __init__(self, settings: Settings, learner: Learner, file: str) -> None:
        self.dead = 0
        self._events = 0
        self._learner = learner
        self._format = wiring.build_format(settings, learner.traits)
        self._written = settings.events.format
        self._has_tags = self._written == "vw" and not learner.traits.is_multiline
        self._file = file
        self._source = FileSource(file, self._format.split)

    def __iter__(self) -> Iterator[_Line]:
        for records in self._source.batches(BATCH):
            yield from self._lines(records)

    def tell_dead(self) -> None:
        """How many there were, on stderr."""
        if not self.dead:
            return
        hint = f"; is the file written as {self._written!r}? --format says otherwise" if not self._events else ""
        click.echo(f"{self.dead} events of {self._file} could not be read: they have no answer{hint}", err=True)

    def _lines(self, records: Records) -> Iterator[_Line]:
        payloads = records.payloads
        decoded = self._format.decode(payloads)
        reasons = {letter.index: letter.reason for letter in decoded.dead}
        examples = iter(decoded.examples)
        self._events += len(decoded.examples)
        for index, payload in enumerate(payloads):
            if index in reasons:
                self._tell(records.offset + index + 1, reasons[index])
                yield _Line(reason=reasons[index])
                continue
            for _ in range(decoded.sizes.get(index, 1)):
                example = next(examples)
                tag = tag_of(payload).decode(errors="surrogateescape") if self._has_tags else ""
                yield _Line(example.id, self._learner.predict(example), tag)

    def _tell(self, record: int, reason: str) -> None:
        self.dead += 1
        if self.dead <= TOLD:
            click.echo(f"{self._file}, record {record}: {printable(reason)}", err=True)


@contextmanager
def _output(file: str, predictions: str | None) -> Iterator[TextIO]:
    if predictions is None:
        yield click.get_text_stream("stdout", errors="surrogateescape")
        return
    check_outputs([file], {"--predictions": predictions})
    with Path(predictions).open("w", encoding="utf-8", errors="surrogateescape") as out:
        yield out


def _as_vw(number: float) -> str:
    """As VW's -p writes it.

    >>> _as_vw(1.0), _as_vw(-0.28459)
    ('1', '-0.284590')
    """
    return f"{number:.0f}" if number == int(number) else f"{number:.6f}"
