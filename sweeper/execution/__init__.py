"""Running trials: in this process, in a worker per slot, or through one of Hydra's launchers."""
