"""Slurm and Ray: what must be set before their launchers can run one job per slot."""

import importlib
import shutil
import socket
import subprocess
from collections.abc import Callable
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict

from sweeper.errors import SweepError

SLURM_PATIENCE = 30.0
"""Seconds in which a queue must answer."""
UNKNOWN_MACHINES = frozenset({"machines that are not known"})


def slurm_machines() -> frozenset[str]:
    """The nodes of the Slurm cluster apart from this machine.

    Raises:
        SweepError: Slurm is not here.
    """
    if shutil.which("sbatch") is None or shutil.which("sinfo") is None:
        raise SweepError(
            "hydra/launcher must be one that this machine has, but got submitit_slurm "
            "without sbatch and sinfo."
        )
    answer = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N"],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        return UNKNOWN_MACHINES
    return frozenset(answer.stdout.split()) - {socket.gethostname(), _short_name()}


def slurm_has(name: str) -> bool | None:
    """Whether a job of ours by that name waits or runs; None where Slurm does not answer."""
    if shutil.which("squeue") is None:
        return None
    try:
        answer = subprocess.run(
            ["squeue", "--noheader", "--me", "--format=%j"],
            capture_output=True,
            text=True,
            check=False,
            timeout=SLURM_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return None
    return name in answer.stdout.splitlines() if answer.returncode == 0 else None


def _short_name() -> str:
    return socket.gethostname().split(".")[0]


def _ray() -> Any:
    """The extra `ray`, without which there is no Ray launcher to choose."""
    return importlib.import_module("ray")


def set_up_ray(config: DictConfig) -> Callable[[], None]:
    """Starts Ray, or joins the cluster that `hydra.launcher.ray.init.address` names.

    The launcher would start it in whichever thread comes first, and the others would fail; on a
    cluster it would ask for an object store of its own; and Ray would repeat a killed job by
    itself, beside the sweep.

    Args:
        config: The sweep's configuration, whose launcher is changed.

    Returns:
        What shuts Ray down.

    Raises:
        SweepError: There is no cluster at the address.
    """
    ray = _ray()
    launcher = config.hydra.launcher.ray
    with open_dict(launcher):
        launcher.remote.max_retries = 0
        told = cast("dict[str, Any]", OmegaConf.to_container(launcher.init, resolve=True))
        address = told.get("address")
        if address is None:
            told.pop("object_store_memory", None)
        # Ray is there when the launcher looks, so that it starts none.
        launcher.init.object_store_memory = None
    try:
        ray.init(**{key: value for key, value in told.items() if value is not None})
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise SweepError(
            f"hydra.launcher.ray.init must lead to a Ray cluster, but got {address}: {reason}"
        ) from None
    return ray.shutdown


def ray_machines() -> frozenset[str]:
    """The addresses of the live nodes of the Ray cluster apart from this machine."""
    ray = _ray()
    nodes = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    return frozenset(nodes - {ray.util.get_node_ip_address()})
