"""`weir` as a service that waits as long as it takes for what its shadows answer.

They are the last to get a turn on a loaded machine, and what they do not answer in time is left out.
"""

import sys

from stream_app import shadows
from stream_app.cli import main

PROGRAM = (sys.executable, __file__)

PATIENT = {"patience_s": 600.0}
"""Settings of shadows: none of them is killed for being silent, as it may just wait for its turn."""

if __name__ == "__main__":
    shadows.ANSWER_S = 600.0
    main()
