"""Rows to VW lines as the Perl script wrote them: `<label> <n>|f name:value name=value`.

Rows that are as wide as they should be go through column by column, which costs a few look-ups in C per value;
any other row goes through `Conversion.row`, which is the definition of what a row becomes.
"""

from collections.abc import Callable, Iterator
from operator import itemgetter

from tools.csv2vw_parts.columns import TABLE_ENTRIES, Features, Labels
from tools.csv2vw_parts.errors import ConversionStopped
from tools.csv2vw_parts.lines import STDIN, Chunk
from tools.csv2vw_parts.separator import Separator
from tools.csv2vw_parts.tails import SAMPLED_ROWS, IrregularRow, Tails, best_cut

BLOCK_VALUES = 4096
"""Values converted at once: few enough to stay in the processor's cache."""
OUT_OF_RANGE_EXIT = 25
"""What the Perl script's `die` left as its exit code: the last error of the system, here that a file is no terminal."""
NO_ERROR_EXIT = 255
"""The same where the system had reported none: from standard input, or at the end of a file of one unended line."""


class Conversion:
    """The state of a run over all its files: columns from the first line, label classes, the number of the next row.

    `convert` is given the text in order and is the only writer of that state. `warn` gets a line of text
    the first time that a row has no label.
    """

    def __init__(self, separator: Separator, label_column: int, has_header: bool, warn: Callable[[str], None]) -> None:
        self.label = label_column
        self.names: list[str] = []
        self._separator = separator
        self._has_header = has_header
        self._warn = warn
        self._warned = False
        self._header_line: str | None = None
        self._next_row = 1
        self._labels = Labels()
        self._features: list[Features] = []
        self._tails: Tails

    def convert(self, chunk: Chunk) -> Iterator[str]:
        """Yield the VW lines of these rows, many in one string. Raises ConversionStopped for the label column.

        With a header the first line of all is that; a later file that repeats it is warned of, as it is a row there.
        """
        lines = self._separator.unified(chunk.text).split("\n")
        if not self._features:
            lines = self._take_columns(lines, chunk)
        elif chunk.begins_file and self._has_header and lines[0] == self._header_line:
            what = "its first line repeats the header and is a row here, as in the Perl script"
            self._warn(f"{chunk.path}: {what}; csv2vw --label NAME FILE... reads a header in every file")
        if self._separator.plain is None:
            yield "".join(map(self.row, lines))
            return
        if lines and self._tails.needs_new_cut:
            self._tails = self._cut_at(best_cut(lines, self._separator.plain, len(self.names)))
            self._tails.is_guess = len(lines) < SAMPLED_ROWS
        height = max(2, BLOCK_VALUES // (self._tails.first + 1))
        for start in range(0, len(lines), height):
            yield self._block(lines[start : start + height])

    def row(self, line: str) -> str:
        """The VW line of one row, of whatever width: short rows lack features, further fields are ignored."""
        fields = self._separator.fields(line)
        if self.label < len(fields):
            label = self._labels[fields[self.label] or ""]
        else:
            label = self._labels[""]
            self._warn_unlabelled(len(fields), label)
        cells = zip(self._features, fields, strict=False)
        features = ["" if value is None else column[value] for column, value in cells]
        del features[self.label : self.label + 1]
        row = self._next_row
        self._next_row += 1
        return f"{label} {row}|f{''.join(features)}\n"

    def _take_columns(self, lines: list[str], chunk: Chunk) -> list[str]:
        fields = self._separator.fields(lines[0])
        last = len(fields) - 1
        index = self.label if self.label >= 0 else self.label + len(fields)
        if not 0 <= index <= last:
            message = f"Label Column: {self.label} is out of range for [0 .. {last}]"
            has_errno = chunk.path != STDIN and (len(lines) > 1 or chunk.is_ended)
            raise ConversionStopped(message, OUT_OF_RANGE_EXIT if has_errno else NO_ERROR_EXIT)
        self.label = index
        names = [name or "" for name in fields]
        self.names = names if self._has_header else [str(column) for column in range(len(fields))]
        entries = max(64, TABLE_ENTRIES // len(fields))
        self._features = [Features(name, entries) for name in self.names]
        self._tails = self._cut_at(last)
        self._tails.needs_new_cut = True
        if not self._has_header:
            return lines
        self._header_line = lines[0]
        return lines[1:]

    def _cut_at(self, first: int) -> Tails:
        return Tails(first, self._features, self._labels, self.label, self._separator.plain or ",")

    def _block(self, lines: list[str]) -> str:
        try:
            return self._regular_block(lines)
        except IrregularRow:
            return "".join(map(self.row, lines))

    def _regular_block(self, lines: list[str]) -> str:
        """All rows at once, one slot per piece of text: label and number, then each column, tail."""
        tails, separator, height = self._tails, self._separator.plain, len(lines)
        first = tails.first
        columns = list(zip(*[line.split(separator, first) for line in lines], strict=False))
        if height < 2 or len(columns) <= first:
            raise IrregularRow
        labels, texts = zip(*itemgetter(*columns[first])(tails), strict=True)
        tails.count(height)
        if first > self.label:
            if "\n" in texts and not all(columns[first - 1]):
                raise IrregularRow
            labels = itemgetter(*columns[self.label])(self._labels)
        width = first + 2
        slots = [""] * (width * height)
        slots[0::width] = [f"{label} {n}|f" for n, label in enumerate(labels, self._next_row)]
        for index, (features, column) in enumerate(zip(self._features, columns[:-1], strict=False)):
            if index != self.label:
                slots[index + 1 :: width] = features.texts(column)
        slots[width - 1 :: width] = texts
        self._next_row += height
        return "".join(slots)

    def _warn_unlabelled(self, width: int, label: str) -> None:
        if not self._warned:
            self._warned = True
            width_found = f"row {self._next_row} has {width} of {len(self.names)} columns and no label"
            self._warn(f"{width_found}: it becomes class {label}, as does every row like it")
