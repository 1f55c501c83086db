"""Two goals that pull apart: near the origin, and near (5, 5)."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def apart(config: DictConfig) -> tuple[float, float]:
    origin = 4 * config.x**2 + 4 * config.y**2
    return origin, (config.x - 5) ** 2 + (config.y - 5) ** 2


if __name__ == "__main__":
    apart()
