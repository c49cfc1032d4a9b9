"""A study's README.md and the table of all studies, from the runs' own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pictures import figure
from studies import HERE, Number, Study

CLAIMS = "claims.json"
"""Of a study, in its folder: the cells of its claims."""
NOT_YET = "**Not run here yet.**"


def write_page(study: Study) -> Path | None:
    """`experiments/<name>/README.md`, with its figures beside it, and its claims in `claims.json` for the table of all.

    What is published of runs that are not here stays as it is: None.
    """
    told, page, claims = study.told, study.folder / "README.md", study.folder / CLAIMS
    published = page.is_file() and claims.is_file() and NOT_YET not in page.read_text()
    if published and not any(map(study.finished, study.runs)):
        return None
    claims.write_text(json.dumps([claim_row(study, claim) for claim in told["claims"]], indent=1) + "\n")
    for old in study.folder.glob("*.png"):
        old.unlink()
    parts = [f"# {told['title']}", told["question"].strip(), commands(study)]
    parts += [setting(study), claims_table(study), conclusions(study)]
    parts += [runs_table(study, table) for table in told.get("tables", [])]
    parts += [figure(study, wanted) for wanted in told.get("figures", [])]
    parts += [f"## Notes\n\n{told['notes'].strip()}"] if "notes" in told else []
    parts.append(
        f"*Written by `python experiments/rebuild.py {study.name}` from the runs' own files; ± is one standard error, "
        "over seeds where there are several, else over images. Verdicts are computed: a bar is met when the difference "
        "exceeds two standard errors.*"
    )
    page.write_text("\n\n".join(part for part in parts if part) + "\n")
    return page


def commands(study: Study) -> str:
    """The one command, and those of every run where they are others."""
    lines = [study.told["command"], *study.told.get("more_commands", [])]
    return "```bash\n" + "\n".join(lines) + "\n```"


def setting(study: Study) -> str:
    """Data, net, code, budget and machine of the finished runs, in a table."""
    rows = []
    for name in study.runs:
        folder = study.runs_folder / name
        if not study.finished(name):
            continue
        config, metadata = (
            yaml.safe_load((folder / "config.yaml").read_text()),
            json.loads((folder / "run.json").read_text()),
        )
        rows.append([*brief(config, metadata), name])
    if not rows:
        return NOT_YET
    missing = [name for name in study.runs if not study.finished(name)]
    same = [len({row[i] for row in rows}) == 1 for i in range(len(rows[0]) - 1)]
    heads = ["data", "model", "net", "code", "parameters", "epochs", "seed", "beta", "seconds"]
    words = ", ".join(f"{head} {rows[0][i]}" for i, head in enumerate(heads) if same[i])
    lines = [f"Same in all runs: {words}." if len(rows) > 1 else f"One run: {words}."]
    if len(rows) > 1:
        kept = [i for i, one in enumerate(same) if not one]
        lines += ["", table(["run", *(heads[i] for i in kept)], [[row[-1], *(row[i] for i in kept)] for row in rows])]
    if missing:
        lines += ["", f"Not run here: {', '.join(f'`{name}`' for name in missing)}."]
    return "\n".join(lines)


def brief(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[str]:
    """What a run was, in words: the columns of the settings table."""
    shape = " x ".join(map(str, metadata["data"]["shape"]))
    encoder = (config.get("net") or {}).get("encoder") or {}
    net = "none" if config["model"]["encoder"] is None else encoder.get("_target_", "").split(".")[-2]
    asked = config.get("epochs", {}).get("full")
    epochs = str(metadata["epochs"]) + (f" (`budget=full`: {asked})" if asked and asked != metadata["epochs"] else "")
    count = metadata["data"]["images"]["train"]
    return [
        f"{metadata['data']['name']} {shape} ({count:,} training images)", config["model"]["name"], net,
        str(metadata['code'] or 'none'), f"{metadata['parameters']:,}", epochs, str(config["seed"]),
        f"{config['beta']['value']:g}", f"{metadata['seconds']:.0f}",
    ]  # fmt: skip


def claims_table(study: Study) -> str:
    """A row per claim: the source's number, ours, the baselines, seeds, verdict."""
    heads = ["claim", "source", "baseline", "ours", "seeds", "verdict"]
    return table(heads, [claim_row(study, claim) for claim in study.told["claims"]])


def claim_row(study: Study, claim: Mapping[str, Any]) -> list[str]:
    """The cells of one claim."""
    source = claim["source"]
    said = source["by"] + (f": {source['value']:g}" if "value" in source else "")
    if "trend" in claim:
        levels = study.trend(claim)
        known = [level for level in levels if level is not None]
        ours = f"{known[0]} → {known[-1]}" if known else ""
        return [claim["claim"], said, "", ours, seeds(known), spoken(study, claim, known)]
    ours = study.number(claim["ours"])
    bars = {name: bar for name, bar in study.bars(claim).items() if name != source["by"]}
    bars |= {told["name"]: study.number(told) for told in claim.get("beside", [])}  # shown, and no bar
    paired = {told["name"]: study.paired(told) for told in claim.get("bars", [])}
    words = {name: f" (image by image {more} above ours)" for name, more in paired.items() if more is not None}
    beside = ", ".join(
        f"{name} {bar if bar is not None else 'not run'}{words.get(name, '')}" for name, bar in bars.items()
    )
    name = claim["ours"].get("name", "")
    return [
        claim["claim"], said, beside, f"{name} {ours}".strip() if ours else "", seeds([ours] if ours else []),
        spoken(study, claim, [ours] if ours else []),
    ]  # fmt: skip


def spoken(study: Study, claim: Mapping[str, Any], numbers: list[Number]) -> str:
    """The verdict, and how many seeds it is of where a claim asks for several (`seeds`) and has fewer."""
    verdict, count = study.verdict(claim), seeds(numbers)
    few = verdict.outcome != "not run here" and int(count or 0) < claim.get("seeds", 1)
    return f"**{verdict}**" + (f", {count} of {claim['seeds']} seeds" if few else "")


def seeds(numbers: list[Number]) -> str:
    """How many runs a number is of, at least."""
    return str(min(number.runs for number in numbers)) if numbers else ""


def conclusions(study: Study) -> str:
    """The sentences written for the verdicts that came out."""
    found = [claim.get("conclusion", {}).get(study.verdict(claim).outcome) for claim in study.told["claims"]]
    return " ".join(sentence.strip() for sentence in found if sentence)


def runs_table(study: Study, wanted: Mapping[str, Any]) -> str:
    """Numbers of several runs side by side: `rows` label -> run or pattern, `columns` head -> key."""
    rows = []
    for label, pattern in wanted["rows"].items():
        cells = [cell(study, pattern, told) for told in wanted["columns"].values()]
        if any(cells):
            rows.append([label, *cells])
    title = f"**{wanted['title']}**\n\n" if "title" in wanted else ""
    return title + table([wanted.get("first", "run"), *wanted["columns"]], rows) if rows else ""


def cell(study: Study, pattern: str, told: str | Mapping[str, Any]) -> str:
    """One number of a table; `weight_of` says another project's KL weight for the run's beta."""
    if isinstance(told, str):
        number = study.number({"run": pattern, "key": told})
        return str(number) if number is not None else ""
    if "weight_of" not in told:
        number = study.number({"run": pattern, **told})
        return str(number) if number is not None else ""
    from autoencoders.objectives.loss_conventions import from_beta

    folders = study.folders(pattern)
    if not folders:
        return ""
    config = yaml.safe_load((folders[0] / "config.yaml").read_text())
    sizes = {"scale": config["likelihood"]["scale"], "pixels": told["pixels"], "batch": told["batch"]}
    return f"{from_beta(config['beta']['value'], told['weight_of'], **sizes):.2g}"


def write_summary(studies: list[Study]) -> Path:
    """`experiments/README.md`: every claim of every study in one table."""
    intro = (HERE / "intro.md").read_text().strip()
    heads = ["study", "claim", "source", "baseline", "ours", "seeds", "verdict"]
    rows = []
    for study in studies:
        link = f"[{study.name}]({study.name}/README.md)"
        rows += [[link, *cells] for cells in json.loads((study.folder / CLAIMS).read_text())]
    counts: dict[str, int] = {}
    for row in rows:
        word = row[-1].split("**")[1].split(" (")[0]
        counts[word] = counts.get(word, 0) + 1
    told = ", ".join(f"{count} {word}" for word, count in sorted(counts.items(), key=lambda item: -item[1]))
    page = HERE / "README.md"
    page.write_text(f"{intro}\n\n{len(rows)} claims: {told}.\n\n{table(heads, rows)}\n")
    return page


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
