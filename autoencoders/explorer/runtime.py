"""The vendored files of ONNX Runtime Web, which executes the networks in the browser."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from autoencoders.types import UserError

FOLDER = Path(__file__).resolve().parent / "runtime"
"""Folder with the files; its README.md states their source, version and license."""

VERSION = "1.18.0"
SCRIPT, BINARY, LICENSE, CHECKSUMS = "ort.wasm-core.min.js", "ort-wasm-simd.wasm.gz", "LICENSE", "checksums.txt"


class Runtime(NamedTuple):
    """The files of ONNX Runtime Web that a page contains.

    Attributes:
        script: text of the script.
        binary: WebAssembly module, compressed with gzip.
        license: text of the license.
    """

    script: str
    binary: bytes
    license: str


def read_runtime() -> Runtime:
    """Read the files of ONNX Runtime Web, and compare their SHA-256 digests with `checksums.txt`.

    Raises:
        UserError: if a file is damaged.
    """
    lines = (FOLDER / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    expected = {name: digest for digest, name in (line.split() for line in lines)}
    contents = {name: (FOLDER / name).read_bytes() for name in (SCRIPT, BINARY, LICENSE)}
    for name, content in contents.items():
        digest = hashlib.sha256(content).hexdigest()
        if digest != expected[name]:
            raise UserError(
                f"{FOLDER / name} must have the SHA-256 digest {expected[name]}, got {digest}. Install the package "
                "again."
            )
    return Runtime(contents[SCRIPT].decode(), contents[BINARY], contents[LICENSE].decode())
