"""Download files against a checksum and unpack archives. A file or folder is put in place only if it is complete."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path

from autoencoders.types import UserError
from autoencoders.utils import console
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.error_messages import DISK_FULL, DISK_REFUSED, disk_error_message, short_reason

TIMEOUT = 30.0
"""Seconds without a byte after which a download is aborted."""
CHUNK_BYTES = 1 << 18
"""Bytes per read."""
ROOT_OPTION = "data.root (or AUTOENCODERS_DATA)"
"""Option that sets the folder of the downloads."""
UNPACKING_ERRORS = (tarfile.TarError, EOFError, zlib.error)
"""Errors of an archive that is cut short, is damaged, or has members outside its folder, besides OSError."""


def resolve_root(root: str | None) -> Path:
    """Return the folder of the downloads: `root`, else AUTOENCODERS_DATA, else the user's cache folder."""
    import platformdirs

    chosen = root or os.environ.get("AUTOENCODERS_DATA") or platformdirs.user_cache_dir("autoencoders")
    return Path(chosen).expanduser()


def fetch(addresses: Sequence[str], file: Path, checksum: str) -> None:
    """Download a file from the first address that serves the expected content.

    Args:
        addresses: mirrors, in the order in which they are tried.
        file: where the file is put, after its checksum has been verified.
        checksum: `md5:...` or `sha256:...`, as published.

    Raises:
        UserError: if no address serves the expected content. The message has a reason per address.
    """
    failures = []
    for address in addresses:
        try:
            with atomic_write(file, f".{os.getpid()}") as partial:
                _stream(address, partial, checksum)
        except (OSError, http.client.HTTPException, UserError) as error:
            if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED):
                raise UserError(disk_error_message(error, file, ROOT_OPTION)) from error
            failures.append(f"{address}: {_failure_reason(error)}")
        else:
            return
    raise UserError("; ".join(failures))


def _failure_reason(error: Exception) -> str:
    """Return why a download failed. A URLError wraps the actual reason."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return short_reason(reason) if isinstance(reason, Exception) else str(reason)


def matches_checksum(file: Path, checksum: str) -> bool:
    """Whether a file exists and has this checksum, `md5:...` or `sha256:...`."""
    algorithm, _, expected = checksum.partition(":")
    if not file.is_file():
        return False
    digest = hashlib.new(algorithm)
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == expected


def _stream(address: str, target: Path, checksum: str) -> None:
    """Write the content of an address to a file.

    Raises:
        UserError: if its checksum differs.
    """
    algorithm, _, expected = checksum.partition(":")
    digest, size = hashlib.new(algorithm), 0
    request = urllib.request.Request(address, headers={"User-Agent": "autoencoders"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response, target.open("wb") as stream:
        total = int(response.headers.get("Content-Length") or 0) or None
        chunks = iter(functools.partial(response.read, CHUNK_BYTES), b"")
        title = f"downloading {target.name.removesuffix('.partial')}"
        for chunk in console.track_progress(chunks, title, total, "bytes", len):
            stream.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    if digest.hexdigest() != expected:
        received = f"{size:,} of {total:,}" if total and size < total else f"{size:,}"
        raise UserError(f"received {received} bytes with {algorithm} {digest.hexdigest()}, expected {expected}")


def decompress(archive: Path, file: Path) -> None:
    """Unpack the file of a `.gz` archive. The archive is kept.

    Raises:
        UserError: if the archive is damaged, or the disk is full.
    """
    try:
        with atomic_write(file) as partial, gzip.open(archive) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (*UNPACKING_ERRORS, OSError) as error:
        raise UserError(_unpacking_message(archive, file, error)) from error


def unpack(archive: Path, folder: Path, names: Sequence[str]) -> None:
    """Unpack a tar archive and put one folder of it in place.

    An archive with a member outside its folder (`..`, a link, a device) is rejected. Other members than the chosen
    folder are discarded.

    Args:
        archive: of any compression that tarfile supports.
        folder: where the chosen folder is put.
        names: names of top folders of the archive; the first that it has is chosen.

    Raises:
        UserError: if the archive is damaged, has a member outside its folder, or has none of the top folders.
    """
    try:
        partial = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    except OSError as error:
        raise UserError(disk_error_message(error, folder, ROOT_OPTION)) from error
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        chosen = next((name for name in names if (partial / name).is_dir()), None)
        if chosen is None:
            raise UserError(f"{archive} holds no folder {' or '.join(names)}. Remove it and fetch it again.")
        if not (folder / chosen).is_dir():  # another process may have put it there
            (partial / chosen).rename(folder / chosen)
    except (*UNPACKING_ERRORS, OSError) as error:
        raise UserError(_unpacking_message(archive, folder, error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unpacking_message(archive: Path, target: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED):
        return disk_error_message(error, target, ROOT_OPTION)
    return f"{archive} cannot be unpacked ({short_reason(error)}). Remove it and fetch it again."
