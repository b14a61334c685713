"""Pool of processes on this machine: one shard at a time each, with one thread of ONNX Runtime."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from serving.bulk.job import BulkError, Job, Shard
from serving.bulk.worker import Outcome, classify

MOST_BREAKS = 3  # of the pool, as where the kernel ends a process for its memory
AHEAD = 2  # shards for each process: one runs, one waits


def classify_here(job: Job, shards: Iterable[Shard], processes: int) -> Generator[Outcome]:
    """Classifies the shards and yields what was done, as it is done. Ends its processes with the generator.

    Shards of a process that was killed are classified again. Raises BulkError after too many of these, and what
    classify() raises.
    """
    waiting = iter(shards)
    again: list[Shard] = []
    for _ in range(MOST_BREAKS):
        running: dict[Future[Outcome], Shard] = {}
        # Spawned: a forked process would inherit the threads' locks in whatever state they are.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare)
        try:
            while True:
                room = processes * AHEAD - len(running)
                chosen, again = again[:room], again[room:]
                for shard in [*chosen, *islice(waiting, room - len(chosen))]:
                    again.append(shard)  # until the pool has taken it
                    running[pool.submit(classify, job, shard)] = again.pop()
                if not running:
                    pool.shutdown()
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = done.result()  # where it raises, the shard is still among those that run
                    del running[done]
                    yield outcome
        except BrokenProcessPool:
            again += running.values()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
                process.join()
    raise BulkError(
        f"processes were killed {MOST_BREAKS} times, perhaps for their memory: go on with --resume and fewer --workers"
    )


def _prepare() -> None:
    """Prepares a process of the pool: it ends with its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(until_ended: Callable[[], None]) -> None:
    until_ended()
    os._exit(1)
