"""A bowl over x and y; z is only there to be deleted."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def bowl(config: DictConfig) -> float:
    if config.get("error", False):
        raise RuntimeError("asked to fail")
    return config.x**2 + config.y**2


if __name__ == "__main__":
    bowl()
