"""What a bounded run prints while it learns and at its end: the table and summary of VW, or the like for others."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from learners.learner import Learner, Learnt
from learners.vw import VW
from stream_app.progressive import HEADER, format_row
from stream_app.trainer import Trainer


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a finished run, as VW counts them; None where VW prints none."""

    examples: int
    weighted_examples: float | None
    weighted_label_sum: float | None
    average_loss: float | None
    total_features: int | None
    dead_letters: int
    duplicates: int
    seconds: float
    examples_per_s: float
    checkpoint: str | None


class VWTable:
    """VW's own table and summary, as VW says them: only what names files is filled in, as the binding has no file.

    What VW logs (`[warning] …`), always in one piece, is left out: VW writes that on standard output.
    """

    def __init__(self, err: TextIO, files: Sequence[str], is_quiet: bool = False) -> None:
        self._err = err
        self._files = files
        self._is_quiet = is_quiet
        self._text = ""
        self._has_begun = False
        self._figures: dict[str, str] = {}

    def begin(self, trainer: Trainer, predictions: str | None) -> None:
        """Everything that could be wrong beforehand is right: print what VW has said so far, and from now on."""
        self._has_begun = True
        self.write("")

    def write(self, text: str) -> None:
        """Take the next piece of VW's output."""
        if text.startswith(_LOGGED):
            return
        self._text += text
        if self._has_begun:
            *lines, self._text = self._text.split("\n")
            for line in lines:
                self._print(line)

    def update(self) -> None:
        """VW prints by itself."""

    def finish(self, trainer: Trainer, learner: Learner, seconds: float, checkpoint: str | None) -> Trained:
        """Have VW print its summary, and read the figures from it."""
        if isinstance(learner, VW):
            learner.finish()
        examples = int(self._figures.get("number of examples", "0"))
        total = self._figures.get("total feature number")
        return Trained(
            examples=examples,
            weighted_examples=_number(self._figures.get("weighted example sum")),
            weighted_label_sum=_number(self._figures.get("weighted label sum")),
            average_loss=_number(self._figures.get("average loss")),
            total_features=int(total) if total is not None else None,
            dead_letters=trainer.counts.dead_letters,
            duplicates=trainer.counts.duplicates,
            seconds=seconds,
            examples_per_s=examples / seconds if seconds else 0.0,
            checkpoint=checkpoint,
        )

    def _print(self, line: str) -> None:
        name, equals, value = line.partition(" = ")
        if equals:
            self._figures[name] = value
        if name == "Reading datafile":
            line = f"Reading datafile = {' '.join(self._files)}"
        elif name == "num sources":
            line = f"num sources = {len(self._files)}"
        if not self._is_quiet:
            self._err.write(f"{line}\n")


class OwnTable:
    """The same layout for learners that print no table of their own."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._printed = 0

    def begin(self, trainer: Trainer, predictions: str | None) -> None:
        """Print the header, and write predictions to a file from now on, where one is asked for."""
        self._trainer = trainer
        self._predictions = Path(predictions).open("w", encoding="utf-8") if predictions else None  # noqa: SIM115
        if self._predictions is not None:
            trainer.observer = self._write_predictions
        self._err.write(f"{HEADER}\n")

    def write(self, text: str) -> None:
        """Learners of this kind say nothing themselves."""

    def update(self) -> None:
        """Print the rows that have come since the last call."""
        rows = self._trainer.parts.progressive.table()
        for row in rows[self._printed :]:
            self._err.write(f"{format_row(row)}\n")
        self._printed = len(rows)

    def finish(self, trainer: Trainer, learner: Learner, seconds: float, checkpoint: str | None) -> Trained:
        """Print the summary and return it."""
        if self._predictions is not None:
            self._predictions.close()
        total = trainer.parts.progressive.report()["total"]
        figures = msgspec.convert(total, _Totals)
        self._err.write(
            f"\nfinished run\nnumber of examples = {figures.examples}\n"
            f"weighted example sum = {figures.weighted_examples:.6f}\n"
            f"average loss = {'n.a.' if figures.average_loss is None else f'{figures.average_loss:.6f}'}\n"
        )
        return Trained(
            examples=figures.examples,
            weighted_examples=figures.weighted_examples,
            weighted_label_sum=figures.weighted_label_sum,
            average_loss=figures.average_loss,
            total_features=None,
            dead_letters=trainer.counts.dead_letters,
            duplicates=trainer.counts.duplicates,
            seconds=seconds,
            examples_per_s=figures.examples / seconds if seconds else 0.0,
            checkpoint=checkpoint,
        )

    def _write_predictions(self, learnt: Learnt) -> None:
        if self._predictions is not None:
            self._predictions.writelines(f"{value:.6f}\n" for value in learnt.predictions)


class _Totals(msgspec.Struct):
    examples: int
    weighted_examples: float
    weighted_label_sum: float | None
    average_loss: float | None


Table = VWTable | OwnTable

_LOGGED = ("[info] ", "[warning] ", "[error] ", "[critical] ")


def _number(text: str | None) -> float | None:
    """The figure without VW's remark that it is of held-out examples; None where there is none (`n.a.`)."""
    try:
        return float(text.removesuffix(" h")) if text is not None else None
    except ValueError:
        return None
