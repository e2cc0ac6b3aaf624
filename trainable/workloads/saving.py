"""What a saved pipeline says of the machine that it was saved on: nothing."""

from __future__ import annotations

import json
from pathlib import Path

_ORIGIN = "_name_or_path"


def forget_origin(directory: Path) -> None:
    """Take out of a saved pipeline's configurations where its parts were loaded from: a path of this machine."""
    for file in (directory / "model_index.json", *directory.glob("*/*.json")):
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        if isinstance(content, dict) and content.pop(_ORIGIN, None) is not None:
            file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
