"""Makes the opening of one file hang for ever, as on a network disk that is gone. Python imports this when it starts.

PYTHONPATH names this folder, and HANGING_FILE the end of the file's path. A line on standard error says that it hangs.
"""

import os
import sys


def _hang(event: str, arguments: tuple[object, ...]) -> None:
    hanging = os.environ.get("HANGING_FILE")
    if hanging and event == "open" and str(arguments[0]).endswith(hanging):
        os.write(2, b'{"event": "hangs"}\n')
        os.read(_READ, 1)


_READ, _WRITE = os.pipe()  # nobody writes
sys.addaudithook(_hang)
