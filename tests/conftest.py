"""Settings of the whole suite."""

import os

from hypothesis import settings

# The tests' tensors are small: more threads only wait for one another, above all when several
# test processes share the cores. Set before torch is imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
