"""A bowl over four coordinates; a function of the application bounds two of them."""

import hydra
from omegaconf import DictConfig
from optuna.trial import Trial


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def bowl(config: DictConfig) -> float:
    return config.w**2 + config.x**2 + config.y**2 + config.z**2


def configure(config: DictConfig, trial: Trial) -> None:
    centre, reach = trial.params["x"], config.max_z_difference_from_x
    trial.suggest_float("z", centre - reach, centre + reach)
    trial.suggest_float("+w", 0.0, 1.0)


if __name__ == "__main__":
    bowl()
