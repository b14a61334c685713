"""A Ray cluster that loses a node loses no row of a bulk job."""

from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from serving.bulk.job import Model, read_plan, write_plan
from serving.bulk.pool import classify_here
from serving.bulk.worker import open_model
from tests.support.bulk_inputs import OF_PIXELS, ROOT, a_job, planned, some_pixels
from tests.support.ray_network import played

pytestmark = pytest.mark.serial


def on_cluster_and_here(folder: Path, rows: int, shard_rows: int, nodes: int) -> tuple[dict[str, Any], Path, Path]:
    """What was seen on a cluster of which a node was killed, its output, and that of processes on this machine."""
    path = folder / "digits-idx3-ubyte"
    path.write_bytes(OF_PIXELS["images-idx3-ubyte"](some_pixels(rows)))
    models = ROOT / "models"
    seen = played(
        folder, "tests.e2e.ray_jobs", path, folder / "cluster", str(shard_rows), models, str(nodes), seconds=240
    )
    loaded = open_model(Model(str(models), "mnist", "", "", 0, "auto", ""), 0)
    model = Model(str(models), "mnist", "", "", loaded.version, "auto", loaded.sha256)
    here = a_job(path, folder / "here", shard_rows, "parquet", model)
    write_plan(here, iter(planned(here)))
    assert len(list(classify_here(here, read_plan(here), processes=2))) == seen["shards"]
    path.unlink()
    return seen, folder / "cluster", folder / "here"


@pytest.mark.parametrize(
    ("rows", "shard_rows", "nodes"), [(8_000, 400, 2), pytest.param(200_000, 5_000, 3, marks=pytest.mark.long)]
)
def test_every_row_stands_once_after_a_node_was_killed(rows: int, shard_rows: int, nodes: int, tmp_path: Path) -> None:
    seen, cluster, here = on_cluster_and_here(tmp_path, rows, shard_rows, nodes)
    assert (seen["rows"], seen["ids"], seen["shards"]) == (rows, rows, rows // shard_rows)
    assert seen["killed"]
    assert seen["peak PSS, MiB"] <= 2500
    assert parquet.read_table(cluster).equals(parquet.read_table(here))
