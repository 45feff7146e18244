"""Why a linear Vowpal Wabbit model scores a line as it does. Reads its weights, and learns nothing."""

from typing import Any

from formats.vw_text import Section, sections, unescape
from learners.learner import Contribution

_CONSTANT = 11650396


def contributions(vw: Any, text: bytes, score: float, has_constant: bool) -> list[Contribution]:
    """Weight times value of every feature, and what is left of the raw `score` as one row; the largest first."""
    rows = [row for section in sections(text) for row in _contributions(vw, section)]
    if has_constant:
        bias = float(vw.get_weight(_CONSTANT & (vw.num_weights() - 1), 0))
        rows.append(Contribution("Constant", 1.0, bias, bias))
    rest = score - sum(row.contribution for row in rows)
    if abs(rest) > 1e-6:
        rows.append(Contribution("(interactions)", 1.0, rest, rest))
    return sorted(rows, key=lambda row: -abs(row.contribution))


def _contributions(vw: Any, section: Section) -> list[Contribution]:
    space = vw.hash_space(section.namespace.encode(errors="surrogateescape") or b" ")
    rows = []
    for name, value in section.features:
        index = vw.hash_feature(name.encode(errors="surrogateescape"), space)
        weight = float(vw.get_weight(index, 0))
        label = unescape(f"{section.namespace}^{name}" if section.namespace else name)
        shown = label.encode(errors="surrogateescape").decode(errors="replace")
        rows.append(Contribution(shown, value, weight, weight * value))
    return rows
