"""What each column of a CSV file is: label, weight, tag, a feature of a namespace, or nothing. Knows no values."""

from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from tools.csv2vw_parts.errors import ConversionStopped
from tools.csv2vw_parts.modern_options import Options

NATIVE = {"label": "_label", "id": "_tag", "weight": "_weight"}
"""Names by which VW's own CSV reader knows columns (the weight is ours)."""
SUFFIX = "_missing"


class Column(NamedTuple):
    """One feature: where it goes, and the cell that it comes from. Features sort as Weir sorts them."""

    namespace: str
    name: str
    place: int
    tells_missing: bool = False
    """The feature says only whether the cell is missing."""


class Layout(NamedTuple):
    """The columns of all files of a run."""

    header: list[str]
    names: list[str]
    label: int | None
    weight: int | None
    tag: int | None
    features: list[Column]
    has_native_label: bool

    def told(self) -> str:
        """One line for people."""
        roles = {"label": self.label, "weight": self.weight, "id": self.tag}
        found = [f"{role} {self.names[index]!r}" for role, index in roles.items() if index is not None]
        return f"{len(self.names)} columns: {', '.join([*found, f'{len(self.features)} features'])}"


def layout_of(header: Sequence[str], options: Options) -> Layout:
    """The layout for a first row. Raises ConversionStopped (2) for a column that does not exist or is two things."""
    names = _names(header, options.has_header)
    roles = {role: _place(names, _given(options, role, names), f"--{role}", options.has_header) for role in NATIVE}
    if roles["label"] is None and (options.label_names or options.is_binary or options.label_map):
        raise ConversionStopped(f"csv2vw: which column is the label? --label NAME; there are {', '.join(names)}")
    taken = {index: f"--{role}" for role, index in roles.items() if index is not None}
    if len(taken) < sum(index is not None for index in roles.values()):
        raise ConversionStopped("csv2vw: --label, --id and --weight must be different columns")
    homes = _homes(names, options, taken)
    features = [
        column
        for index, name in enumerate(names)
        if index not in taken or index in homes
        for column in _features(index, name, homes.get(index), options)
    ]
    features.sort(key=itemgetter(0, 1))
    _check_features(features)
    is_native = roles["label"] is not None and names[roles["label"]] == NATIVE["label"]
    return Layout(list(header), names, roles["label"], roles["weight"], roles["id"], features, is_native)


def _names(header: Sequence[str], has_header: bool) -> list[str]:
    """What the columns are known by; those without a name by their number."""
    names = [cell if cell and has_header else str(index) for index, cell in enumerate(header)]
    if len(set(names)) < len(names):
        twice = sorted(name for name in names if names.count(name) > 1)
        raise ConversionStopped(f"csv2vw: column {twice[0]!r} occurs more than once in the header")
    return names


def _homes(names: list[str], options: Options, taken: dict[int, str]) -> dict[int, str]:
    """The namespaces of columns that were given one; notes in `taken` what they and the ignored ones are."""
    homes: dict[int, str] = {}
    for option, namespace, listed in _lists(options):
        for name in listed:
            index = _place(names, name, option, options.has_header)
            if index is None or index in taken:
                raise ConversionStopped(f"csv2vw: {option}: column {name!r} is also {taken.get(index or 0)}")
            taken[index] = option
            if namespace is not None:
                homes[index] = namespace
    return homes


def _given(options: Options, role: str, names: list[str]) -> str | None:
    given = getattr(options, role)
    if given is None and options.has_header and NATIVE[role] in names:
        return NATIVE[role]
    return given if given is None else str(given)


def _lists(options: Options) -> list[tuple[str, str | None, list[str]]]:
    spaces = [("--namespace", name, columns) for name, columns in options.namespaces.items()]
    return [*spaces, ("--ignore", None, options.ignored)]


def _place(names: list[str], name: str | None, option: str, has_header: bool) -> int | None:
    if name is None:
        return None
    if not has_header and name.removeprefix("-").isdecimal() and -len(names) <= int(name) < len(names):
        return int(name) % len(names)
    if name in names:
        return names.index(name)
    raise ConversionStopped(f"csv2vw: {option}: no column {name!r}; there are {', '.join(names)}")


def _features(index: int, name: str, home: str | None, options: Options) -> list[Column]:
    """A column's feature, `ns|name` split as VW splits it, and the one beside it that tells that it is missing."""
    if home is None:
        namespace, bar, feature = name.partition("|")
        home, feature = (namespace, feature) if bar and feature else ("", name)
    else:
        feature = name
    columns = [Column(home, feature, index)]
    if options.missing == "indicate":
        columns.append(Column(home, feature + SUFFIX, index, tells_missing=True))
    return columns


def _check_features(features: list[Column]) -> None:
    for one, other in pairwise(features):
        if one[:2] == other[:2]:
            what = f"feature {one.name!r} of namespace {one.namespace!r}"
            raise ConversionStopped(f"csv2vw: two columns are both {what}; rename or --ignore one")
