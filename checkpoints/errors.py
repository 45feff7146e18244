"""What goes wrong with checkpoints. Every error of this folder is a CheckpointError."""


class CheckpointError(Exception):
    """Something was not saved, loaded or named as asked. The message says which, and what to do."""


class CheckpointDamaged(CheckpointError):
    """Stored bytes are not what was saved; the message names the package, the part of it, and what differs."""


class CheckpointMissing(CheckpointError):
    """No such checkpoint is kept in this store."""


class HeadMoved(CheckpointError):
    """Another writer has saved to this store since: nothing was saved, and this writer must stop."""
