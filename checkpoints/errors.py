"""What goes wrong with checkpoints. Every error of this folder is a CheckpointError."""


class CheckpointError(Exception):
    """Something was not saved, loaded or named as asked. The message says which, and what to do."""


class CheckpointDamaged(CheckpointError):
    """Stored bytes are not what was saved; the message names the package, the part of it, and what differs."""


class CheckpointMissing(CheckpointError):
    """No such checkpoint is kept in this store."""


class NotFlushed(CheckpointError):
    """HEAD names the checkpoint, and all of it is there; only the very last flush failed, so power loss may undo it."""


class HeadMoved(CheckpointError):
    """Another writer has saved to this store since: nothing was saved, and this writer must stop."""


class LedgerNameError(CheckpointError):
    """A name that no ledger, and so no tag, can have."""


class EntryTaken(CheckpointError):
    """Somebody else has made this entry of a ledger meanwhile: read it, and decide again."""
