"""`python -m training COMMAND`."""

import signal
import sys

from training.cli import main

# What stops a container: the same clean stop as Ctrl-C. Without this a first process of a container ignores it.
signal.signal(signal.SIGTERM, signal.default_int_handler)
sys.exit(main())
