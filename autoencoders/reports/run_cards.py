"""What a run says about itself: how it ended, with what it was made, on which data and machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoencoders.config.diff import lookup
from autoencoders.reports.run_folder import RunFolder


@dataclass
class Card:
    """A run.

    Attributes:
        label: its name in the report.
        title: model, data, beta and latent size.
        good: whether it is as a finished run leaves it.
        status: how it ended, or what is wrong.
        facts: what -> words.
    """

    label: str
    title: str
    good: bool
    status: str
    facts: dict[str, str]


def metadata(run: RunFolder) -> Card:
    """A run's card; what is not known is left out."""
    record = run.record
    facts = {
        "folder": str(run.path),
        "started": _words(record.get("started")),
        "took": _took(record),
        "speed": _number(record.get("images_per_second"), "images/s"),
        "device": _joined(record.get("device"), _number(lookup(record, "machine", "cores"), "cores")),
        "seed": _words(run.at("seed")),
        "parameters": _number(record.get("parameters")),
        "code": _number(record.get("code"), "numbers per image"),
        "labels": _words(record.get("labels")),
        "data": _data(record.get("data")),
        "data SHA-256": _words(lookup(record, "data", "sha256")),
        "commit": _words(record.get("git_commit")),
        "versions": _versions(record.get("versions")),
        "machine": _words(lookup(record, "machine", "platform")),
        "note": " ".join(run.notes),
    }
    status = "; ".join(run.problems) or _words(record.get("status")) or "done"
    return Card(run.label, title_of(run), not run.problems, status, {k: v for k, v in facts.items() if v})


def title_of(run: RunFolder) -> str:
    """Model, data, beta and latent size, as its figures say them; empty without a configuration."""
    if not run.config:
        return ""
    words = [f"{run.model.upper()} on {run.at('data', 'name')}"]
    words += [f"beta {run.at('beta', 'value')}"] if run.has_prior else []
    words += [f"{run.record['code']} latents"] if run.record.get("code") else []
    return ", ".join(words)


def _words(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object, unit: str = "") -> str:
    return f"{value:,.0f} {unit}".strip() if isinstance(value, (int, float)) and value else ""


def _joined(*words: object) -> str:
    return ", ".join(str(word) for word in words if word)


def _took(record: Mapping) -> str:
    epochs, seconds = record.get("epochs"), record.get("seconds")
    if not isinstance(seconds, (int, float)):
        return ""
    time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else None
    return _joined(time or f"{seconds / 3600:.1f} h", _number(epochs, "epochs"))


def _data(data: object) -> str:
    if not isinstance(data, Mapping):
        return ""
    counts, shape = data.get("images"), data.get("shape")
    images = " + ".join(_number(n) or "0" for n in counts.values()) if isinstance(counts, Mapping) else ""
    size = " x ".join(map(str, shape)) if isinstance(shape, list) else ""
    return _joined(data.get("name"), images and f"{images} images", size)


def _versions(versions: object) -> str:
    return _joined(*(f"{k} {v}" for k, v in versions.items() if v)) if isinstance(versions, Mapping) else ""
