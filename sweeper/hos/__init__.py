"""`hydra.sweeper.grammar=hos`: configurations of hydra-optuna-sweeper, in any Hydra application.

Their comma lists are choices, not cells, and the job's return value is what is optimised. Every
key they may hold is honoured, or refused by name.
"""
