"""One thread for each process: the networks of tests are too small for more, and several processes share the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; processes that tests start inherit it
