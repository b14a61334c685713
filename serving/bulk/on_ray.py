"""Ray cluster: a shard is a task, which any node runs, and another one again where a node is lost. Needs ray.

The input, the output folder and the model are at the same paths on every node.
"""

from collections.abc import Generator, Iterable
from itertools import islice
from typing import Any

from serving.bulk.job import BulkError, Job, Shard
from serving.bulk.worker import Outcome, classify

MOST_RETRIES = 5  # of a task whose node or process was lost
AHEAD = 2  # tasks for each processor of the cluster: one runs, one waits


def classify_on_ray(job: Job, shards: Iterable[Shard], address: str) -> Generator[Outcome]:
    """Classifies the shards on the cluster at `address` and yields what was done, as it is done.

    Raises BulkError where there is no cluster, or a task was lost too often, and what classify() raises.
    """
    try:
        import ray
        from ray import exceptions
    except ImportError as error:
        raise BulkError("--ray needs ray: pip install 'mnist-digits[scale]'") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BulkError(f"no Ray cluster at {address}: {error}") from error
    try:
        # By a reference to the module: every node has this program installed.
        task = ray.remote(num_cpus=1, max_retries=MOST_RETRIES, retry_exceptions=False)(classify)
        settings = ray.put(job)
        waiting = iter(shards)
        running: list[Any] = []
        while True:
            processors = max(1, int(ray.cluster_resources().get("CPU", 1)))  # nodes come and go
            free = max(0, processors * AHEAD - len(running))  # with a node less, more may run than there is room for
            running += [task.remote(settings, shard) for shard in islice(waiting, free)]
            if not running:
                return
            done, running = ray.wait(running)
            yield from ray.get(done)
    except exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except exceptions.RayError as error:
        raise BulkError(f"the cluster lost a task: {error}") from error
    finally:
        ray.shutdown()
