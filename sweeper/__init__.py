"""The sweep: Hydra composes, Optuna records, and a root finder searches alpha."""
