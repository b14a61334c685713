"""The end of a process that hangs, whatever becomes of what it writes."""

import signal
import subprocess
import sys

from tests.support.processes import ROOT, completed, started

HANGS = """
import os, signal, threading
from serving.logging import configure_logging, get_logger
from serving.process.watchdog import end_within
configure_logging("json", "info")
os.set_blocking(2, False)
try:
    while os.write(2, b"x" * 65536):
        pass
except BlockingIOError:
    os.set_blocking(2, True)  # full, and nobody reads
end_within(0.1, 7, get_logger())
threading.Event().wait(60)
"""


def test_a_log_that_nobody_reads_does_not_keep_a_process_from_ending() -> None:
    command = [sys.executable, "-c", HANGS]
    with started(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.wait(30) == -signal.SIGALRM


ENDS_SLOWLY = """
import threading
from serving.logging import get_logger
from serving.process.watchdog import end_within
class Slow:
    def __del__(self):  # among the last that the interpreter does: it has given signals back their defaults
        threading.Event().wait(1)
slow = Slow()
end_within(0.5, 7, get_logger())
"""


def test_an_interpreter_that_takes_its_time_to_end_is_not_killed_by_the_timer() -> None:
    assert completed([sys.executable, "-c", ENDS_SLOWLY], cwd=ROOT).returncode == 0
