"""`python -m serving.keys`: the former name of `python -m serving keys`, for one release."""

import sys

from serving.commands.keys import keys
from serving.options import run_command

if __name__ == "__main__":
    print("note: `python -m serving.keys` is now `python -m serving keys`", file=sys.stderr)
    sys.exit(run_command(keys))
