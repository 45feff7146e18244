"""`weir` as a service that waits as long as it takes for what its shadows answer.

They are the last to get a turn on a loaded machine, and what they do not answer in time is left out.
"""

from stream_app import shadows
from stream_app.cli import main

ANSWER_S = 600.0

if __name__ == "__main__":
    shadows.ANSWER_S = ANSWER_S
    main()
