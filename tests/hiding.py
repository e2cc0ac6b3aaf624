"""How a secret, or a picture, can lie in bytes: what is looked for, and where."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psycopg
from PIL import Image
from psycopg import sql


def forms_of(content: bytes) -> dict[str, bytes]:
    """How ``content`` looks as it is, in hexadecimal digits and in base64, wherever in a longer text it stands."""
    forms = {"plain": content, "hex": content.hex().encode()}
    for shift in range(3):  # base64 takes three bytes at a time; those at the ends depend on the neighbours
        whole = base64.b64encode(bytes(shift) + content)
        forms[f"base64 at {shift}"] = whole[-(-8 * shift // 6) : len(whole) - 4]
    return forms


def forms_of_text(text: str) -> dict[str, bytes]:
    """``text`` of plain letters and digits, which no quoting changes, in all encodings."""
    forms = forms_of(text.encode())
    return {**forms, "utf-16": text.encode("utf-16-le"), "utf-32": text.encode("utf-32-le")}


def forms_of_picture(pixels: np.ndarray) -> dict[str, bytes]:
    """An uint8 picture (H, W, C) as bytes and as floats in [-1, 1], rows or channels first."""
    forms: dict[str, bytes] = {}
    for order, array in {"rows": pixels, "channels": np.moveaxis(pixels, -1, 0)}.items():
        floats = array.astype(np.float32) / 127.5 - 1
        for kind, content in {"uint8": array.tobytes(), "float32": floats.tobytes()}.items():
            forms |= {f"{order}, {kind}, {name}": form for name, form in forms_of(content[:900]).items()}
    return forms


def files_with(forms: Mapping[str, bytes], *roots: Path) -> list[str]:
    """Files below ``roots``, whatever they are called, of which the name or the content has one of ``forms``."""
    found, seen = [], 0
    for path in (path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))):
        content = str(path).encode(errors="surrogateescape")
        if path.is_file() and not path.is_symlink():
            content += path.read_bytes()
            seen += 1
        found += [f"{path}: {name}" for name, form in forms.items() if form in content]
    assert seen, f"there must be something to look at in {roots}"
    return found


def pictures_below(*roots: Path) -> Iterator[tuple[Path, np.ndarray]]:
    """Every PNG of the files below ``roots``, also one inside of another file, in base64 too, as uint8 (H, W, 3)."""
    for path in (path for root in roots for path in root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for start in b"\x89PNG\r\n", b"iVBORw0KGgo":
            place = content.find(start)
            while place >= 0:
                rest = content[place:]
                if start == b"iVBORw0KGgo":
                    text = rest[
                        : len(rest)
                        - len(rest.lstrip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
                    ]
                    rest = base64.b64decode(text + b"=" * (-len(text) % 4))
                yield path, np.array(Image.open(io.BytesIO(rest)).convert("RGB"))
                place = content.find(start, place + 1)


def rows_of(url: str) -> dict[str, bytes]:
    """Table → all of its rows as text, of every table of a PostgreSQL database."""
    with psycopg.connect(url) as connection:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        names = [name for (name,) in connection.execute(query).fetchall()]
        tables = {}
        for name in names:
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))).fetchall()
            tables[name] = "\n".join(row for (row,) in rows).encode()
    return tables
