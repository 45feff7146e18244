"""Whether a folder can be made and written in, found out without making it. Knows no settings."""

import tempfile
from pathlib import Path


def obstacle(folder: Path) -> str | None:
    """Why nothing can be written in a folder that is there or would be made, None where all is well.

    What is tried is a file without a name in the folder, or in the nearest one above it that is there: nothing stays,
    also of a process that is killed.

    >>> obstacle(Path(tempfile.gettempdir(), "weir", "not", "there"))
    >>> obstacle(Path("/proc/weir"))
    'it cannot be made: nothing can be written in /proc (No such file or directory)'
    """
    found = folder
    try:
        while not found.exists() and found != found.parent:
            if found.is_symlink():
                return f"{found} is a link to what is not there"
            found = found.parent
        if not found.is_dir():
            return f"{found} is not a folder"
        with tempfile.TemporaryFile(dir=found) as probe:
            probe.write(b"\0")
    except OSError as error:
        if found == folder:
            return f"nothing can be written in it ({error.strerror})"
        return f"it cannot be made: nothing can be written in {found} ({error.strerror})"
    return None
