"""scripts/ is no package: its modules are found as the scripts themselves find them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))
