"""`python -m serving.tune`: the former name of `python -m serving tune`, for one release."""

import sys

from serving.commands.tune import tune
from serving.options import run_command

if __name__ == "__main__":
    print("note: `python -m serving.tune` is now `python -m serving tune`", file=sys.stderr)
    sys.exit(run_command(tune))
