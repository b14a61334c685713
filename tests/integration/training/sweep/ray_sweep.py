"""Plays a sweep on a Ray cluster, a node of which is killed, in a network of its own; prints what was seen, as JSON.

`python -m tests.integration.training.sweep.ray_sweep RUNS FLAGS…`, in the namespaces of tests.support.own_network.
"""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ray.cluster_utils import Cluster

from tests.support.own_network import bring_up

NODES = 2  # of one processor each; the head runs no trial


def play(runs: Path, flags: list[str]) -> None:
    """Runs the sweep; kills a node once a trial on each has a checkpoint, and puts another in its place."""
    bring_up()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(wait=False, num_cpus=1) for _ in range(NODES)]
    cluster.wait_for_nodes()
    command = [sys.executable, "-m", "training", "sweep", "--runs-folder", str(runs), "--ray", cluster.address, *flags]
    process = subprocess.Popen(command, stdout=sys.stderr)
    is_killed = False
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        if not is_killed and len(list(runs.glob("sweep-*/checkpoint.npz"))) >= NODES:
            cluster.remove_node(nodes[-1], allow_graceful=False)
            cluster.add_node(wait=False, num_cpus=1)
            is_killed = True
    print(json.dumps({"status": process.returncode, "killed": is_killed}), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    play(Path(sys.argv[1]), sys.argv[2:])
