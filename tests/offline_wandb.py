"""Reader of the file of an offline W&B run: a LevelDB log (blocks of 32 KiB) of protobuf records."""

import json
import struct
import time
from types import SimpleNamespace

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path):
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, pending = HEADER, b""
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # a header never crosses a block; the rest of the block is padding
            position += BLOCK - position % BLOCK
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        pending += data[position + HEADER : position + HEADER + size]
        position += HEADER + size
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(pending)
            pending = b""
            yield record


def read(folder):
    """Return the config, the history rows and the folder of the only offline run under `<folder>/wandb`."""
    found = everything(folder)
    return found.config, found.history, found.folder


def everything(folder):
    """Return the content of the only offline run under `<folder>/wandb`. Nested keys are joined by slashes."""
    (run,) = folder.glob("wandb/offline-run-*")
    (file,) = run.glob("*.wandb")
    until = time.monotonic() + 30  # the process of W&B writes the last records with a delay
    while not any(record.WhichOneof("record_type") == "exit" for record in records(file)):
        assert time.monotonic() < until
        time.sleep(0.1)
    found = SimpleNamespace(folder=run, config={}, history=[], summary={}, metrics={}, alerts=[], artifacts=[])
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "config":
            found.config |= items(record.config.update)
        elif kind == "run":
            found.run = record.run
            found.config |= items(record.run.config.update)
        elif kind == "history":
            found.history.append(items(record.history.item))
        elif kind == "summary":
            found.summary |= items(record.summary.update)
        elif kind == "metric":
            found.metrics[record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "alert":
            found.alerts.append(record.alert)
        elif kind == "artifact":
            found.artifacts.append(record.artifact)
        elif kind == "environment" and record.environment.program:
            found.environment = record.environment
    return found


def items(records):
    return {("/".join(i.nested_key) or i.key): json.loads(i.value_json) for i in records}
