"""Reads the file of an offline W&B run: a LevelDB log (blocks of 32 KiB) of protobuf records."""

import json
import struct

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path):
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, pending = HEADER, b""
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # a header never crosses a block: the rest is padding
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
    """(config, history rows) of the one offline run under `<folder>/wandb`, and the run's own folder."""
    (run,) = folder.glob("wandb/offline-run-*")
    (file,) = run.glob("*.wandb")
    config, history = {}, []
    for record in records(file):
        if record.WhichOneof("record_type") == "config":
            config |= {("/".join(i.nested_key) or i.key): json.loads(i.value_json) for i in record.config.update}
        elif record.WhichOneof("record_type") == "run":
            config |= {("/".join(i.nested_key) or i.key): json.loads(i.value_json) for i in record.run.config.update}
        elif record.WhichOneof("record_type") == "history":
            history.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item})
    return config, history, run
