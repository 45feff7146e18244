"""Groups of VW lines: which ones would end the process, and what a group is without what its outcome was.

Knows the words before the bar of each kind of label, and nothing of the learner.
"""

from collections import Counter
from typing import Literal

GroupKind = Literal["cost", "ccb", "slates", "other"]
"""Classes with costs (`--csoaa_ldf`, `--wap_ldf`), slots of `--ccb_explore_adf`, of `--slates`, all others."""


def crash_reason(kind: GroupKind, text: bytes) -> str | None:
    """Why VW would end the process over this group, for all that is known; None if it would not.

    >>> crash_reason("cost", b"1:0 |f a\\n|f b")
    'label: every line of the group needs its class: VW would crash'
    """
    heads = [label_words(line) for line in text.split(b"\n")]
    if kind == "cost" and not all(heads):
        return "label: every line of the group needs its class: VW would crash"
    if kind == "ccb" and heads[0][:2] != [b"ccb", b"shared"]:
        return "group: expected `ccb shared` in its first line: VW would crash"
    return _slates_reason(heads) if kind == "slates" else None


def without_outcome(kind: GroupKind, text: bytes) -> list[bytes]:
    """The lines of a group as they are predicted: what was chosen and what it cost is left out.

    >>> without_outcome("ccb", b"ccb shared |s x\\nccb action |a b\\nccb slot 0:1:0.5 |z c")
    [b'ccb shared |s x', b'ccb action |a b', b'ccb slot |z c']
    """
    return [_without_outcome(kind, line, index) for index, line in enumerate(text.split(b"\n"))]


def label_words(line: bytes) -> list[bytes]:
    """What stands before the bar, without the tag: a last word that touches the bar or starts with a quote."""
    head = line.partition(b"|")[0]
    words = head.split()
    if words and (words[-1].startswith(b"'") or not head.endswith((b" ", b"\t"))):
        words.pop()
    return words


def _slates_reason(heads: list[list[bytes]]) -> str | None:
    if heads[0][:2] != [b"slates", b"shared"]:
        return "group: expected `slates shared` in its first line: VW would crash"
    actions = Counter(head[2] for head in heads if head[:2] == [b"slates", b"action"] and len(head) > 2)
    slots = [head[2:] for head in heads if head[:2] == [b"slates", b"slot"]]
    for index, outcome in enumerate(slots):
        count = actions[str(index).encode()]
        if count == 0:
            return f"group: slot {index} has no action: VW would crash"
        if bool(outcome) != (len(heads[0]) > 2):
            return "label: either the shared line and every slot have one, or none has: VW would crash"
        chosen = [part.partition(b":")[0] for word in outcome for part in word.split(b",")]
        if not all(action.isdigit() and int(action) < count for action in chosen):
            return f"label: slot {index} names an action beyond its {count}, counted from 0: VW would crash"
    return None


def _without_outcome(kind: GroupKind, line: bytes, index: int) -> bytes:
    _, bar, rest = line.partition(b"|")
    words = label_words(line)
    if kind == "cost":
        first = words[0].partition(b":")[0] if words else b""
        named = first if first.isdigit() or first == b"shared" else str(index + 1).encode()
        return named + b" " + bar + rest
    if kind == "slates":
        keeps = 3 if words[1:2] == [b"action"] else 2
        return b" ".join([*words[:keeps], bar + rest])
    if kind == "ccb":
        return b" ".join([*[word for word in words if b":" not in word], bar + rest])
    return (b"shared " if words[:1] == [b"shared"] else b"") + bar + rest
