"""Download files, verify their checksums and unpack archives. Incomplete files never reach their final path."""

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
"""Number of seconds without new data after which a download is aborted."""
CHUNK_BYTES = 1 << 18
"""Number of bytes per read operation."""
ROOT_OPTION = "data.root (or AUTOENCODERS_DATA)"
"""Name of the option for the folder with downloaded files, for error messages."""
UNPACKING_ERRORS = (tarfile.TarError, EOFError, zlib.error)
"""Exceptions for an archive that is truncated or damaged, or that contains paths outside its folder.

Such an archive can also raise OSError, for example `gzip.BadGzipFile`.
"""


def resolve_root(root: str | None) -> Path:
    """Return the folder for downloaded files.

    The folder is `root` if given, else the environment variable AUTOENCODERS_DATA if set, else the user's cache folder.
    """
    import platformdirs

    chosen = root or os.environ.get("AUTOENCODERS_DATA") or platformdirs.user_cache_dir("autoencoders")
    return Path(chosen).expanduser()


def fetch(addresses: Sequence[str], file: Path, checksum: str) -> None:
    """Download a file from the first mirror that sends the expected content.

    Args:
        addresses: URLs of the mirrors, in the order in which they are tried.
        file: final path of the file. It is written after the checksum has been verified.
        checksum: published checksum of the file, as `md5:...` or `sha256:...`.

    Raises:
        UserError: if no mirror sends the expected content, or if the file cannot be written. The message states the
            reason for each mirror.
    """
    failures = []
    for address in addresses:
        try:
            with atomic_write(file) as partial:
                _stream(address, partial, checksum)
        except (OSError, http.client.HTTPException, UserError) as error:
            if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED):
                raise UserError(disk_error_message(error, file, ROOT_OPTION)) from error
            failures.append(f"{address}: {_failure_reason(error)}")
        else:
            return
    raise UserError("; ".join(failures))


def _failure_reason(error: Exception) -> str:
    """Return the reason why a download failed. For a URLError, return the reason that it wraps."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return short_reason(reason) if isinstance(reason, Exception) else str(reason)


def matches_checksum(file: Path, checksum: str) -> bool:
    """Return whether a file exists and has the given checksum, as `md5:...` or `sha256:...`."""
    algorithm, _, expected = checksum.partition(":")
    if not file.is_file():
        return False
    digest = hashlib.new(algorithm)
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == expected


def _stream(address: str, target: Path, checksum: str) -> None:
    """Download the content of a URL to the file `target`.

    Raises:
        UserError: if the content does not have the expected checksum.
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
        raise UserError(f"the {algorithm} checksum must be {expected}, got {digest.hexdigest()} after {received} bytes")


def decompress(archive: Path, file: Path) -> None:
    """Decompress a `.gz` archive to a file. The archive is kept.

    Raises:
        UserError: if the archive is damaged, or if the file cannot be written.
    """
    try:
        with atomic_write(file) as partial, gzip.open(archive) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (*UNPACKING_ERRORS, OSError) as error:
        raise UserError(_unpacking_message(archive, file, error)) from error


def unpack(archive: Path, folder: Path, names: Sequence[str]) -> None:
    """Unpack a tar archive and move one of its top-level folders into `folder`.

    An archive is rejected if it contains a device, or a path or link that leads outside of the unpacked content.
    All content except the chosen top-level folder is discarded.

    Args:
        archive: path of the tar archive, with any compression that tarfile supports.
        folder: existing folder into which the top-level folder is moved.
        names: possible names of the top-level folder. The first name that the archive contains is chosen.

    Raises:
        UserError: if the archive is damaged or rejected, if it contains none of the top-level folders, or if `folder`
            cannot be written.
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
            raise UserError(
                f"{archive} must contain the folder {' or '.join(names)}, but does not. "
                "Remove the archive and download it again."
            )
        try:
            (partial / chosen).rename(folder / chosen)
        except OSError:
            if not (folder / chosen).is_dir():  # another process may have moved it there
                raise
    except (*UNPACKING_ERRORS, OSError) as error:
        raise UserError(_unpacking_message(archive, folder, error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unpacking_message(archive: Path, target: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED):
        return disk_error_message(error, target, ROOT_OPTION)
    return f"{archive} cannot be unpacked ({short_reason(error)}). Remove the archive and download it again."
