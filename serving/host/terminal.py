"""The terminal that a program was started on, and SIGHUP, by which the system says that it was closed."""

import os
import signal


def has_terminal() -> bool:
    """Returns True when this process is to end with its terminal. Look before that closes: it is none afterwards."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup, so that it outlives the terminal
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def ignore_hangup_without_terminal() -> None:
    """Ignores SIGHUP where it does not mean the end. Call first: until then it ends the process."""
    if not has_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
