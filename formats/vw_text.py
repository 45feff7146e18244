"""VW's text format, its whole grammar: label, importance, initial value, tag, namespaces with weights, groups of lines.

Source: parse_example.cc and parser.cc of Vowpal Wabbit 9.11. What VW would read wrongly in silence is refused here.
"""

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Literal

import msgspec

from formats.example import Dead, Decoded, Example, Features, FormatError, Label, Lines
from formats.labels import Labels
from formats.lines import BOM, lines
from formats.mistaken import told
from formats.numbers import number, vw_number

Reads = Literal["text", "features"]
"""Which side of an Example its learner reads: VW the text, the others the features."""

_ESCAPED = {ord(char): f"%{ord(char):02X}" for char in " \t\r\n|:%"}
_ESCAPED_NAME = _ESCAPED | {ord("="): "%3D"}
_UNESCAPED = re.compile("%(20|09|0D|0A|7C|3A|25|3D)")

_SEPARATORS = re.compile("[ \t]")
# A colon after which anything but a plain short number stands: rare, and then the exact parser decides.
_SUSPECT = re.compile(rb":(?!-?[0-9]{1,14}+[ \n|])(?!-?[0-9]{1,14}+\.[0-9]{0,14}+[ \n|])")
# A weight of a namespace multiplies values: with one digit before the point, plain ones stay below MAX_NUMBER.
_SUSPECT_WEIGHT = re.compile(rb"\|(?::|[^ \t|:\n]++:(?!-?[0-9](?:\.[0-9]{0,14}+)?[ \n|]))")
_CACHED_HEADS = 4096


def escape(value: str) -> str:
    """The value with every character that means something to VW as %XX. Different values stay different.

    >>> escape("a b|c:1")
    'a%20b%7Cc%3A1'
    """
    return value.translate(_ESCAPED)


def escape_name(name: str) -> str:
    """The same for the name of a namespace or feature, where `=` parts name and value."""
    return name.translate(_ESCAPED_NAME)


def unescape(text: str) -> str:
    """What `escape` was given.

    >>> unescape(escape("100 %: |"))
    '100 %: |'
    """
    return _UNESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


class _Heads(dict[bytes, tuple[Label, float]]):
    """Label and weight for what stands before the first bar. Those without a tag repeat, and are remembered."""

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self._labels = labels

    def __missing__(self, head: bytes) -> tuple[Label, float]:
        if head.startswith(BOM):
            raise FormatError("byte order mark: only the exact parser takes it off")
        tokens, tag = _head_tokens(_text(head))
        label = self._labels.parse(tokens)
        if not tag and len(self) < _CACHED_HEADS:
            self[head] = label
        return label


class VwText:
    """Decodes VW text, one line per payload, or for multi-line learners one group of lines per payload.

    A payload that VW would misread (no `|`, a label or value that is not a finite number, an empty line) is dead.
    Checking is done for a whole batch at once: the exact parser runs only where something looks unusual.
    """

    def __init__(self, labels: Labels, reads: Reads = "text", is_multiline: bool = False) -> None:
        self._labels = labels
        self._reads = reads
        self._is_multiline = is_multiline
        self._heads = _Heads(labels)

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        if self._reads == "text" and not self._is_multiline and (text := _plain_text(payloads)):
            try:
                heads = [self._heads[payload[: payload.index(b"|")]] for payload in payloads]
            except ValueError:  # no bar, or no such label: the exact parser says which and why
                pass
            else:
                labels, weights = zip(*heads, strict=True)
                return Decoded(Lines(text, labels, weights), [])
        examples: list[Example] = []
        dead: list[Dead] = []
        for index, payload in enumerate(payloads):
            try:
                examples.append(self._exact(payload))
            except FormatError as error:
                dead.append(Dead(index, told(str(error), payload, "vw")))
        return Decoded(examples, dead)

    def split(self, stream: BinaryIO) -> Iterator[bytes]:
        """Lines without their ends, empty ones left out; for multi-line learners groups that an empty line parts."""
        if not self._is_multiline:
            yield from lines(stream)
            return
        group: list[bytes] = []
        for raw in stream:
            line = raw.rstrip(b"\r\n")
            if line:
                group.append(line)
            elif group:
                yield b"\n".join(group)
                group = []
        if group:
            yield b"\n".join(group)

    def labelled(self, payload: bytes, label: object) -> bytes:
        if self._is_multiline:
            raise FormatError("label: a group of VW lines carries its label on the action's own line; send it whole")
        head, bar, rest = payload.partition(b"|")
        if not bar:
            raise FormatError(_no_bar(payload))
        tokens, tag = _head_tokens(_text(head))
        if tokens:
            raise FormatError(f"label: the event has one already: {' '.join(tokens)!r}")
        text = self._labels.written(self._labels.value(label), 1.0)
        return _bytes(f"{text}{_tag_text(tag)}") + bar + rest

    def _exact(self, payload: bytes) -> Example:
        lines = [line for raw in payload.split(b"\n") if (line := _read_by_vw(raw))]
        if not any(line.strip() for line in lines):
            raise FormatError("empty line: VW would learn from it as an example without features")
        if self._is_multiline:
            return self._group(payload, lines)
        if len(lines) > 1:
            raise FormatError(f"expected one line, got {len(lines)}; only multi-line learners take groups of lines")
        label, weight, features = self._line(lines[0])
        if self._reads == "text":
            return Example(label, weight, _bytes(lines[0]))
        return Example(label, weight, features=features)

    def _group(self, payload: bytes, lines: list[str]) -> Example:
        if not all(line.strip() for line in lines):
            raise FormatError("group: a line of blanks: VW would take it for an action; part groups by an empty line")
        parsed = [self._line(line) for line in lines]
        labels = [str(label) for label, _, _ in parsed if label is not None and not str(label).startswith("shared")]
        if self._labels.kind == "bandit":
            labels = [label for label in labels if ":" in label]
        if self._labels.kind == "bandit" and len(labels) > 1:
            raise FormatError(f"label: {len(labels)} actions of the group have one ({', '.join(labels)}); expected one")
        is_shared = lines[0].startswith("shared")
        if is_shared and len(lines) == 1:
            raise FormatError(f"group: only a shared line ({lines[0][:60]!r}); expected at least one action after it")
        label = labels[0] if labels else None
        if self._reads == "text":
            return Example(label, 1.0, _bytes("\n".join(lines)))
        shared = parsed[0][2] if is_shared else {}
        actions = [features for _, _, features in (parsed[1:] if is_shared else parsed)]
        return Example(label, 1.0, features=shared, actions=actions)

    def _line(self, line: str) -> tuple[Label, float, Features]:
        if "\r" in line:
            raise FormatError(f"carriage return within {line[:60]!r}: VW would end the line there")
        head, bar, rest = line.partition("|")
        if not bar:
            if self._is_multiline and line.strip():
                return self._labels.parse(_head_tokens(line + " ")[0])[0], 1.0, {}
            raise FormatError(_no_bar(_bytes(line)))
        label, weight = self._labels.parse(_head_tokens(head)[0])
        return label, weight, parse_features(_bytes("|" + rest))


class Section(msgspec.Struct, frozen=True):
    """One namespace as it stands in a line: its name and its features as VW hashes them (escaped), with values."""

    namespace: str
    features: list[tuple[str, float]]


def sections(text: bytes) -> Iterator[Section]:
    """The namespaces of one VW line in order, weights multiplied in. Raises FormatError naming the feature.

    >>> list(sections(b"1 |f:2 a:1.5 b=x"))
    [Section(namespace='f', features=[('a', 3.0), ('b=x', 2.0)])]
    """
    for section in _text(text).split("|")[1:]:
        namespace, scale, tokens = _section(section)
        yield Section(namespace, [_feature(token, scale, namespace) for token in tokens])


def parse_features(text: bytes) -> Features:
    """The features of one VW line: name=value as text, the rest as numbers (1.0 without a value), all unescaped.

    >>> parse_features(b"1 |f a:1.5 b=x")
    {'f': {'a': 1.5, 'b': 'x'}}
    """
    features: Features = {}
    for section in sections(text):
        target = features.setdefault(unescape(section.namespace), {})
        for token, value in section.features:
            name, equals, category = token.partition("=")
            if equals and value == 1.0:
                target[unescape(name)] = unescape(category)
            else:
                target[unescape(token)] = value
    return features


def _section(section: str) -> tuple[str, float, list[str]]:
    tokens = [token for token in _SEPARATORS.split(section) if token]
    if not section or section[0] in " \t":
        return "", 1.0, tokens
    name, colon, scale = tokens[0].partition(":")
    if not name:
        raise FormatError(f"namespace: a weight without a name in {section[:60]!r}; expected |NAME:WEIGHT")
    return name, vw_number(scale, f"namespace {name!r}: weight") if colon else 1.0, tokens[1:]


def _feature(token: str, scale: float, namespace: str) -> tuple[str, float]:
    name, colon, value = token.partition(":")
    if not colon:
        return name, scale
    field = f"feature {namespace}^{name}"
    return name, number(vw_number(value, field) * scale, field)


def _plain_text(payloads: Sequence[bytes]) -> bytes:
    """All lines joined, if nothing in them needs the exact parser; else nothing."""
    joined = b"\n".join([*payloads, b""])
    if joined.count(b"\n") != len(payloads) or b"\r" in joined or _SUSPECT.search(joined) is not None:
        return b""
    return b"" if _SUSPECT_WEIGHT.search(joined) is not None else joined[:-1]


def _head_tokens(head: str) -> tuple[list[str], str]:
    """Tokens before the bar without the tag, and the tag: a last token that touches the bar or starts with a quote.

    VW passes over what stands before a tab: that must not be a label.
    """
    passed, tab, rest = head.partition("\t")
    if tab and ("\t" in rest or not rest.strip() or any(char.isdigit() for char in passed)):
        raise FormatError(f"tab before the first '|' in {head[:60]!r}: VW would pass over what stands before it")
    if tab:
        head = rest
    tokens = [token for token in head.split(" ") if token]
    if tokens and (tokens[-1].startswith("'") or head[-1] != " "):
        return tokens[:-1], tokens[-1].removeprefix("'")
    return tokens, ""


def tag_of(line: bytes) -> bytes:
    """The tag of a line of VW text.

    >>> tag_of(b"1 'a|f x"), tag_of(b"1 2.5 b|f x"), tag_of(b"1 |f x")
    (b'a', b'b', b'')
    """
    return _bytes(_head_tokens(_text(line.partition(b"|")[0]))[1])


def _read_by_vw(raw: bytes) -> str:
    """A line as VW's reader takes it: without its end, a byte order mark, and NULs after the number that ends it."""
    line = _text(raw.rstrip(b"\r").removeprefix(BOM))
    if line.endswith("\0"):
        shorter = line.rstrip("\0")
        if ":" in shorter.split(" ")[-1]:
            return shorter
    return line


def _tag_text(tag: str) -> str:
    return f"'{tag}" if tag else ""


def _text(payload: bytes) -> str:
    return payload.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _no_bar(payload: bytes) -> str:
    return f"no '|' in {payload[:60]!r}: a VW line is LABEL |NAMESPACE FEATURES"
