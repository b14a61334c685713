"""`python -m serving`, which is also the program `mnist-digits-server`."""

import sys

from serving.host.terminal import ignore_hangup_without_terminal


def main() -> int:
    """Runs the command line. Returns the exit status."""
    ignore_hangup_without_terminal()  # before the imports of the command line, which take a third of a second
    from serving.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
