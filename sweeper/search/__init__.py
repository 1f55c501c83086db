"""The search for alpha: prior, curve model, safeguarded root finder, Optuna sampler."""
