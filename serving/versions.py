"""`python -m serving.versions`: the former name of `python -m serving versions`, for one release."""

import sys

from serving.commands.versions import versions
from serving.options import run_command

if __name__ == "__main__":
    print("note: `python -m serving.versions` is now `python -m serving versions`", file=sys.stderr)
    sys.exit(run_command(versions))
