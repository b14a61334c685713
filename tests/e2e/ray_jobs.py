"""Plays a Ray cluster, a node of which is killed, in a network of its own; prints what was seen, as JSON.

`python -m tests.e2e.ray_jobs INPUT OUTPUT SHARD_ROWS MODELS NODES`, in the namespaces of tests.support.own_network.
"""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from serving.bulk.audit import audit
from serving.bulk.inputs import plan
from serving.bulk.job import Job, Model, read_plan, write_plan
from serving.bulk.on_ray import classify_on_ray
from serving.bulk.worker import open_model
from tests.support.own_network import bring_up

KILLED_AFTER = 5  # a fifth of the shards


def main(input: str, output: str, shard_rows: str, models: str, nodes_of_one_processor: str) -> None:
    """Classifies the input on the cluster and kills a node after a fifth of the shards."""
    bring_up()
    model = Model(models, "mnist", "", "", 0, "auto", "")
    loaded = open_model(model, 0)
    model = Model(models, "mnist", "", "", loaded.version, "auto", loaded.sha256)
    job = Job(input, output, "parquet", int(shard_rows), model, 2**20, 10**6)
    job.hidden.mkdir(parents=True)
    write_plan(job, plan(job))
    shards = list(read_plan(job))
    began = time.monotonic()
    # The head runs no task. No node_ip_address: with 127.0.0.1 given, the driver dials another address and hangs.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(wait=False, num_cpus=1) for _ in range(int(nodes_of_one_processor))]
    cluster.wait_for_nodes()
    started = time.monotonic()
    numbers, peak = [], 0
    for outcome in classify_on_ray(job, shards, cluster.address):
        numbers.append(outcome.number)
        peak = max(peak, pss())
        if len(numbers) == max(1, len(shards) // KILLED_AFTER):
            cluster.remove_node(nodes[0], allow_graceful=False)
    seconds = time.monotonic() - started
    found = audit(job)
    seen = {
        "shards": len(shards),
        "tasks": len(numbers),
        "rows": found.rows,
        "ids": found.ids,
        "killed": not nodes[0].any_processes_alive(),
        "seconds to start": started - began,
        "seconds": seconds,
        "peak PSS, MiB": peak / 2**20,
    }
    print(json.dumps(seen), flush=True)
    cluster.shutdown()


def pss() -> int:
    """Memory of all processes of this namespace, in bytes, pages that they share counted once."""
    total = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


if __name__ == "__main__":
    main(*(str(Path(word).absolute()) if "/" in word else word for word in sys.argv[1:]))
