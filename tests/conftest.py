"""Settings of the whole suite."""

import os

# The tests' tensors are small: more threads only wait for one another, above all when several
# test processes share the cores. Set before torch is imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
