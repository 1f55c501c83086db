"""A real Ray cluster of two nodes on this machine, for as long as a measurement needs one."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

OBJECT_STORE = 80 * 1024 * 1024
"""Bytes on each node; Ray refuses much less."""
LEAVES_WITHIN = 60
"""Seconds."""


@contextmanager
def two_node_cluster() -> Generator[str]:
    """Starts a cluster in a process of its own, and stops it after the block.

    Yields:
        Its address.
    """
    # A short path, since the names of its sockets have a limit.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        # The cluster also notes its address there, and in no folder that it expects to exist.
        environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder}
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ray_cluster"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            yield _address(process)
        finally:
            process.communicate(timeout=LEAVES_WITHIN)  # closes its standard input


def _address(process: "subprocess.Popen[str]") -> str:
    if process.stdout is None:
        raise RuntimeError("the cluster's process must have a standard output")
    for line in process.stdout:
        if line.startswith("address "):
            return line.split()[1]
    raise RuntimeError(f"no Ray cluster was started: status {process.wait()}")


def _serve() -> None:
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": OBJECT_STORE}
    head = {"include_dashboard": False, **node}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**node)
        print(f"address {cluster.address}", flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    _serve()
