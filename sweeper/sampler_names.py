"""The names of Optuna's samplers; `sweeper.samplers` makes them, and loads Optuna."""

from enum import StrEnum


class SamplerName(StrEnum):
    """What proposes every searched key but alpha."""

    tpe = "tpe"
    gp = "gp"
    cmaes = "cmaes"
    random = "random"
    grid = "grid"
    qmc = "qmc"
    nsgaii = "nsgaii"
    nsgaiii = "nsgaiii"
    brute_force = "brute_force"
