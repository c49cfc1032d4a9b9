"""Files from the network, against a checksum, and archives: whole and as published, or not there at all."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path

from autoencoders.types import UserError
from autoencoders.utils import console
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.error_messages import DISK_FULL, DISK_REFUSED, disk_error_message, short_reason

TIMEOUT = 30.0
"""Seconds without a byte after which a server is given up."""
CHUNK = 1 << 18
"""Bytes read at a time."""
ROOT = "data.root (or AUTOENCODERS_DATA)"
"""The option that moves downloads elsewhere."""
DAMAGED = (tarfile.TarError, EOFError, zlib.error)
"""What an archive raises that is cut short, damaged, or reaches outside; beside an OSError without a number."""


def fetch(addresses: Sequence[str], file: Path, checksum: str) -> None:
    """Download a file from the first address that has it as expected; `file` appears whole and checked.

    Args:
        addresses: mirrors, in the order in which they are tried.
        file: where it goes.
        checksum: `md5:...` or `sha256:...`, as published.

    Raises:
        UserError: where none of them has it; it says what came from each.
    """
    failed = []
    for address in addresses:
        try:
            with atomic_write(file, f".{os.getpid()}") as partial:
                _stream(address, partial, checksum)
        except (OSError, http.client.HTTPException, UserError) as error:
            if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED):
                raise UserError(disk_error_message(error, file, ROOT)) from error
            cause = getattr(error, "reason", error)  # of a URLError: what lies below it
            failed.append(f"{address}: {short_reason(cause) if isinstance(cause, Exception) else cause}")
        else:
            return
    raise UserError("; ".join(failed))


def matches(file: Path, checksum: str) -> bool:
    """Whether a file is there and has this checksum, `md5:...` or `sha256:...`."""
    algorithm, _, expected = checksum.partition(":")
    if not file.is_file():
        return False
    digest = hashlib.new(algorithm)
    with file.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest() == expected


def _stream(address: str, place: Path, checksum: str) -> None:
    algorithm, _, expected = checksum.partition(":")
    digest, size = hashlib.new(algorithm), 0
    request = urllib.request.Request(address, headers={"User-Agent": "autoencoders"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response, place.open("wb") as stream:
        total = int(response.headers.get("Content-Length") or 0) or None
        pieces = iter(functools.partial(response.read, CHUNK), b"")
        for piece in console.track_progress(
            pieces, f"downloading {place.name.removesuffix('.partial')}", total, "bytes", len
        ):
            stream.write(piece)
            digest.update(piece)
            size += len(piece)
    if digest.hexdigest() != expected:
        cut = f" of {total:,}" if total and size < total else ""
        raise UserError(f"{size:,}{cut} bytes came, with {algorithm} {digest.hexdigest()}, and {expected} was expected")


def decompress(archive: Path, file: Path) -> None:
    """The one file of a `.gz` archive, whole or not at all; the archive stays.

    Raises:
        UserError: where the archive is damaged, or there is no room.
    """
    try:
        with atomic_write(file) as partial, gzip.open(archive) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (*DAMAGED, OSError) as error:
        raise UserError(_unpacking_failed(archive, file, error)) from error


def unpack(archive: Path, folder: Path, wanted: Sequence[str]) -> None:
    """Unpack a tar archive and put one folder of it in place, whole or not at all.

    Members that would land outside are refused, whatever leads there: `..`, a link, a device. Nothing but the wanted
    folder comes out.

    Args:
        archive: of any compression that tarfile knows.
        folder: where the wanted folder goes.
        wanted: names that the archive's top folder may have; the first it has is taken.

    Raises:
        UserError: where it is damaged, reaches outside, or has none of the folders.
    """
    try:
        partial = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    except OSError as error:
        raise UserError(disk_error_message(error, folder, ROOT)) from error
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        found = next((name for name in wanted if (partial / name).is_dir()), None)
        if found is None:
            raise UserError(f"{archive} holds no folder {' or '.join(wanted)}. Remove it and fetch it again.")
        if not (folder / found).is_dir():  # another process may have been first
            (partial / found).rename(folder / found)
    except (*DAMAGED, OSError) as error:
        raise UserError(_unpacking_failed(archive, folder, error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unpacking_failed(archive: Path, place: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED):
        return disk_error_message(error, place, ROOT)
    return f"{archive} cannot be unpacked ({short_reason(error)}). Remove it and fetch it again."
