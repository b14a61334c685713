"""`python -m serving.process.candidates.shadow PACKETS COUNTS`: runs a candidate on what workers send, and compares.

1. A process of its own: what the candidate does to it, and to its memory, touches no worker. It computes only when a
   processor has nothing else to do (SCHED_IDLE), for MOST_TIME of one processor's time at most, and is the first that
   the kernel ends where memory is short.
2. It computes on the CPU, with one thread, whatever the served version runs on.
3. It begins with the pickled configuration on its standard input, and ends when that ends: with its parent.
4. A version that fails a check is logged, and tried again when its files change.
"""

import faulthandler
import os
import pickle
import resource
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from serving.config import Config
from serving.errors import ModelRejectedError
from serving.logging import Logger, configure_logging, get_logger
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository, Stamp
from serving.process.ipc import IGNORED_SIGNALS
from serving.process.watchdog import STUCK
from serving.shadow.comparer import Comparer
from serving.shadow.counts import ShadowCounts
from serving.shadow.messages import MOST_BYTES, MOST_IMAGES, Answered, unpacked
from serving.version_policy import Candidate

MOST_TIME = 0.25  # of one processor: a container's quota counts idle time, too
MOST_DATA_BYTES = 2**30  # beyond it, memory is refused to the candidate
LOAD_NICENESS = 5  # while it is loaded, which would never end on a processor that is always busy
LOOK_SECONDS = 60.0  # between two looks at the files, where --model-poll-seconds is 0
LOADING_TIMES = 10  # as long as an inference may take, may a load, which runs several
LOG_SECONDS = 60.0  # between two lines on what the candidate raises


def main() -> None:
    """Compares until the parent or all workers have ended."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)  # the parent has blocked them
    config: Config = pickle.load(sys.stdin.buffer)  # our own parent's, over a pipe that nobody else has
    configure_logging(config.log_format, config.log_level)
    if config.shadow is None:
        raise RuntimeError("a shadow process was started without a candidate: this is a bug")
    with suppress(OSError):
        os.nice(LOAD_NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    packets, counts = socket.socket(fileno=int(sys.argv[1])), ShadowCounts(int(sys.argv[2]))
    shadow = _Shadow(config, config.shadow, counts, get_logger().bind(shadow=config.shadow.version))
    threading.Thread(target=shadow.end_with_parent, name="parent", daemon=True).start()
    shadow.run(packets)


class _Shadow:
    """The candidate, loaded or not, and the time that it may take."""

    def __init__(self, config: Config, candidate: Candidate, counts: ShadowCounts, log: Logger) -> None:
        self._config = config
        self._version = candidate.version
        self._counts = counts
        self._comparer = Comparer(counts)
        self._log = log
        self._repository = ModelRepository(
            config.model_repository, config.model_name, config.model_public_key, config.model_folder
        )
        self._model: LoadedModel | None = None
        self._seen: Stamp | None = None  # of the files that were loaded or refused
        self._clock = time.pthread_getcpuclockid(threading.get_ident())  # of the thread that computes
        self._began: float | None = None  # on that clock, of the running inference or load
        self._allowed = config.inference_timeout_seconds  # for that; 0: any time
        self._log_at = 0.0

    def run(self, packets: socket.socket) -> None:
        """Handles packets until nobody is left who could send any."""
        seconds = self._config.model_poll_seconds or LOOK_SECONDS
        self._look()
        self._discard(packets)
        packets.settimeout(seconds)  # not before: with a timeout, MSG_DONTWAIT waits for it
        look_at = time.monotonic() + seconds
        with suppress(OSError):  # the niceness of the start remains
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while True:
            if time.monotonic() >= look_at:
                self._look()
                look_at = time.monotonic() + seconds
            try:
                packet = packets.recv(MOST_BYTES)
            except TimeoutError:
                continue
            if not packet:
                return
            self._handle(packet)

    def _discard(self, packets: socket.socket) -> None:
        """Drops what has come meanwhile: one of these may have ended the process before, and would again."""
        with suppress(BlockingIOError):
            while packet := packets.recv(MOST_BYTES, socket.MSG_DONTWAIT):
                message = unpacked(packet)
                if isinstance(message, Answered):
                    self._comparer.compare(message, None)

    def end_with_parent(self) -> None:
        """Ends the process with its parent, or when an inference or a load does not end. For a thread of its own."""
        while not select.select([sys.stdin], [], [], 1.0)[0]:
            began, allowed = self._began, self._allowed
            if allowed and began is not None and (spent := time.clock_gettime(self._clock) - began) > allowed:
                self._log.error("shadow_stuck", seconds=round(spent, 1))
                faulthandler.dump_traceback(sys.stderr)
                os._exit(STUCK)
        os._exit(0)  # nothing here is worth a clean-up, and an inference may run for ever

    def _look(self) -> None:
        """Loads the candidate, if its files are others than at the last look."""
        stamp = self._repository.stamp(self._version)
        if stamp == self._seen:
            return
        self._seen = stamp
        self._model = None
        self._allowed *= LOADING_TIMES
        self._began = time.clock_gettime(self._clock)
        try:
            self._model = self._repository.load(
                self._version, lambda graph, _: OnnxSession(graph, "cpu", 1), MOST_IMAGES, self._config.precision
            )
        except ModelRejectedError as error:
            self._log.error("shadow_refused", check=error.check, why=str(error))
        except Exception as error:  # the border of the candidate: other files may be better
            self._log.error("shadow_refused", check="unreadable", exc_info=error)
        else:
            self._log.info("shadow_ready", sha256=self._model.sha256)
        self._began = None
        self._allowed = self._config.inference_timeout_seconds
        self._counts.set_loaded(self._model is not None)

    def _handle(self, packet: bytes) -> None:
        message = unpacked(packet)
        if not isinstance(message, Answered):
            self._comparer.judge(message)
            return
        self._began = time.clock_gettime(self._clock)
        error = self._comparer.compare(message, self._model.run if self._model else None)
        spent, self._began = time.clock_gettime(self._clock) - self._began, None
        if error and time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + LOG_SECONDS
            self._log.error("shadow_failed", exc_info=error)
        time.sleep(spent * (1 / MOST_TIME - 1))


if __name__ == "__main__":
    main()
