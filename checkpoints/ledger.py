"""Names and sizes of ledgers: what every store accepts. Knows no medium."""

import re
from collections.abc import Sequence

from checkpoints.checkpoint import Ledgers
from checkpoints.errors import CheckpointDamaged, CheckpointError, EntryTaken, LedgerNameError

ENTRY_LIMIT_BYTES = 1 << 20
_ID = re.compile(r"sha256\.[0-9a-f]{64}")
_NAME = re.compile(r"[a-z]+/[a-z0-9][a-z0-9._-]{0,99}")


def checked_ledger(name: str) -> str:
    """The name of a ledger: a kind and a plain lower-case name, such as `tags/fraud.production`.

    Raises LedgerNameError for any other.
    """
    if _NAME.fullmatch(name) is None:
        raise LedgerNameError(f"{name.partition('/')[2] or name!r}: expected up to 100 of a-z, 0-9, '.', '_' and '-'")
    return name


def checked_entry(ledger: str, number: int, entry: bytes) -> None:
    """Raises CheckpointError where this cannot be an entry of that ledger."""
    checked_ledger(ledger)
    if number < 0:
        raise CheckpointError(f"ledger {ledger}: entries are numbered from 0, not {number!r}")
    if len(entry) > ENTRY_LIMIT_BYTES:
        raise CheckpointError(f"ledger {ledger}: entry of {len(entry)} bytes, expected at most {ENTRY_LIMIT_BYTES}")


def entry_taken(ledger: str, number: int) -> EntryTaken:
    """The error of a writer that was too late."""
    return EntryTaken(f"ledger {ledger}: entry {number} was made meanwhile by somebody else")


def not_next(ledger: str, number: int) -> CheckpointError:
    """The error of an entry that would leave a gap."""
    return CheckpointError(f"ledger {ledger}: entry {number} is not the next one: there is none before it")


def checked_numbers(ledger: str, numbers: Sequence[int]) -> Sequence[int]:
    """The numbers of all entries, in order. Raises CheckpointDamaged where one is missing."""
    if list(numbers) != list(range(len(numbers))):
        raise CheckpointDamaged(f"ledger {ledger}: entries are missing; restore them from a copy")
    return numbers


def named(store: Ledgers) -> set[str]:
    """The model ids that the last entries of all ledgers name: retention spares them."""
    lasts = [entry for ledger in store.ledgers() for entry in store.entries(ledger, -1)]
    return {model_id for entry in lasts for model_id in _ID.findall(entry.decode(errors="replace"))}
