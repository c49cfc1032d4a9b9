"""Collect the metadata of a run for the report: status, duration, device, data, versions and machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoencoders.config.diff import lookup
from autoencoders.data.description import description_rows
from autoencoders.reports.run_folder import RunFolder
from autoencoders.utils.texts import display_name


@dataclass
class RunMetadata:
    """Metadata of a run, as texts for the report.

    Attributes:
        label: label of the run in the report.
        title: names of the model and the data, beta, and latent size.
        complete: whether the run has finished and its folder is complete.
        status: status at the end of the run, or the problems with the files in the run folder.
        facts: name -> text, such as `duration` or `device`.
    """

    label: str
    title: str
    complete: bool
    status: str
    facts: dict[str, str]


def collect_metadata(run: RunFolder) -> RunMetadata:
    """Return the metadata of a run. Facts that the files in the run folder do not contain are omitted."""
    record = run.record
    facts = {
        "folder": str(run.path),
        "started": _to_text(record.get("started")),
        "duration": _format_duration(record),
        "speed": _format_speed(record),
        "device": _join(record.get("device"), _format_count(lookup(record, "machine", "cores"), "cores")),
        "seed": _to_text(run.config_value("seed")),
        "parameters": _format_count(record.get("parameters")),
        "latent size": _format_count(record.get("code"), "numbers per image"),
        "labels": _to_text(record.get("labels")),
        **_describe_data(record.get("data")),
        "data SHA-256": _to_text(lookup(record, "data", "sha256")),
        "commit": _to_text(record.get("git_commit")),
        "versions": _format_versions(record.get("versions")),
        "machine": _to_text(lookup(record, "machine", "platform")),
        "note": " ".join(run.notes),
    }
    status = "; ".join(run.problems) or _to_text(record.get("status")) or "done"
    known_facts = {name: text for name, text in facts.items() if text}
    return RunMetadata(run.label, run_title(run), not run.problems, status, known_facts)


def run_title(run: RunFolder) -> str:
    """Return a title with the names of the model and the data, beta, and the latent size.

    Return an empty string if the run folder has no config.
    """
    if not run.config:
        return ""
    items = [f"{display_name(run.model_name)} on {run.config_value('data', 'name')}"]
    if run.has_prior:
        items.append(f"beta {run.config_value('beta', 'value')}")
    if run.record.get("code"):
        items.append(f"{run.record['code']} latents")
    return ", ".join(items)


def _to_text(value: object) -> str:
    return "" if value is None else str(value)


def _format_count(value: object, unit: str = "") -> str:
    return f"{value:,.0f} {unit}".strip() if isinstance(value, (int, float)) and value else ""


def _join(*items: object) -> str:
    return ", ".join(str(item) for item in items if item)


def _format_duration(record: Mapping) -> str:
    """Return a text with the duration of the training and the number of epochs, or an empty string if unknown."""
    epochs, seconds = record.get("epochs"), record.get("seconds")
    if not isinstance(seconds, (int, float)):
        return ""
    if seconds < 120:
        duration = f"{seconds:.0f} s"
    elif seconds < 7200:
        duration = f"{seconds / 60:.0f} min"
    else:
        duration = f"{seconds / 3600:.1f} h"
    return _join(duration, _format_count(epochs, "epochs"))


def _format_speed(record: Mapping) -> str:
    """Return a text with the training speed and the seconds of training without validation, figures and test."""
    speed, seconds = _format_count(record.get("images_per_second"), "images/s"), record.get("training_seconds")
    return f"{speed} in {seconds:.0f} s of training" if speed and isinstance(seconds, (int, float)) else speed


def _format_data(data: object) -> str:
    """Return a text with the name of the data, the number of images in each split, and the shape of the images."""
    if not isinstance(data, Mapping):
        return ""
    counts, shape = data.get("images"), data.get("shape")
    images = " + ".join(_format_count(n) or "0" for n in counts.values()) if isinstance(counts, Mapping) else ""
    size = " x ".join(map(str, shape)) if isinstance(shape, list) else ""
    return _join(data.get("name"), images and f"{images} images", size)


def _describe_data(data: object) -> dict[str, str]:
    """Return the description of the data as facts: `data`, `data from`, `data splits`, `data classes` and others.

    A record in another form gives only the fact `data`.
    """
    if not isinstance(data, Mapping):
        return {}
    try:
        rows = description_rows(data)
    except (KeyError, TypeError, ValueError, AttributeError):
        return {"data": _format_data(data)}
    facts: dict[str, str] = {}
    for label, text in rows:
        name = label if label == "data" else f"data {label}"
        facts[name] = f"{facts[name]} {text}" if name in facts else text
    return facts


def _format_versions(versions: object) -> str:
    return _join(*(f"{k} {v}" for k, v in versions.items() if v)) if isinstance(versions, Mapping) else ""
