"""Write the README.md of each study and the table of all studies, from the kept results of the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pictures import format_figure
from results import Results
from studies import HERE, NOT_RUN, Number, Study

CLAIMS = "claims.json"
"""File in a study's folder with the cells of its claims."""
NOT_YET = "**Not run here yet.**"
CLAIM_HEADER = ["claim", "source", "target", "baseline", "reference", "measured", "seeds", "result"]
FOOTER = (
    "*Written by `make experiment-pages` from `results/`, which `python experiments/rebuild.py {name}` writes. ± is "
    "one standard error: over seeds if there are several, else over images. Results are computed: a claim is met if "
    "the measurement is better than the source, the target and every baseline by at least two standard errors of the "
    "difference, or by four with fewer than three seeds.*"
)


def write_page(study: Study) -> Path:
    """Write `experiments/<name>/README.md`, its plots, and `claims.json` for the table of all studies.

    Returns:
        Path of the page.
    """
    page, claims = study.folder / "README.md", study.folder / CLAIMS
    claims.write_text(json.dumps([format_claim(study, claim) for claim in study.spec["claims"]], indent=1) + "\n")
    page.write_text("\n\n".join(section for section in format_sections(study) if section) + "\n")
    return page


def format_sections(study: Study) -> list[str]:
    """Return the sections of a study's page, some of which may be empty."""
    spec = study.spec
    return [
        f"# {spec['title']}",
        spec["question"].strip(),
        format_commands(study),
        format_settings(study),
        format_claims(study),
        format_conclusions(study),
        *(format_runs_table(study, table) for table in spec.get("tables", [])),
        *(format_figure(study, figure) for figure in spec.get("figures", [])),
        f"## Notes\n\n{spec['notes'].strip()}" if "notes" in spec else "",
        FOOTER.format(name=study.name),
    ]


def format_commands(study: Study) -> str:
    """Return the command of the study, and further commands if some runs need their own."""
    lines = [study.spec["command"], *study.spec.get("more_commands", [])]
    return "```bash\n" + "\n".join(lines) + "\n```"


def format_settings(study: Study) -> str:
    """Return data, model, net, latents and budget of the finished runs.

    Settings that all runs share are listed in a sentence, others in a table.
    """
    header = ["data", "model", "net", "latents", "parameters", "epochs", "seed", "beta"]
    rows = {name: describe_run(study.results[name]) for name in study.runs if name in study.results}
    if not rows:
        return NOT_YET
    shared = [len({row[i] for row in rows.values()}) == 1 for i in range(len(header))]
    first = next(iter(rows.values()))
    settings = ", ".join(f"{header[i]} {first[i]}" for i in range(len(header)) if shared[i])
    lines = [f"Same in all runs: {settings}." if len(rows) > 1 else f"One run: {settings}."]
    if len(rows) > 1:
        differing = [i for i in range(len(header)) if not shared[i]]
        cells = [[name, *(row[i] for i in differing)] for name, row in rows.items()]
        lines += ["", markdown_table(["run", *(header[i] for i in differing)], cells)]
    missing = [name for name in study.runs if name not in rows]
    if missing:
        lines += ["", f"Not run here: {', '.join(f'`{name}`' for name in missing)}."]
    return "\n".join(lines)


def describe_run(results: Results) -> list[str]:
    """Return the settings of a run: data, model, net, latents, parameters, epochs, seed and beta."""
    config, record = results.config, results.record
    shape = " x ".join(map(str, record["data"]["shape"]))
    encoder = (config.get("net") or {}).get("encoder") or {}
    net = "none" if config["model"]["encoder"] is None else encoder.get("_target_", "").split(".")[-2]
    full, epochs = config.get("epochs", {}).get("full"), str(record["epochs"])
    if full and full != record["epochs"]:
        epochs += f" (`budget=full`: {full})"
    count = record["data"]["images"]["train"]
    return [
        f"{record['data']['name']} {shape} ({count:,} training images)", config["model"]["name"], net,
        str(record["code"] or "none"), f"{record['parameters']:,}", epochs, str(config["seed"]),
        f"{config['beta']['value']:g}",
    ]  # fmt: skip


def format_claims(study: Study) -> str:
    """Return a table with a row per claim."""
    return markdown_table(CLAIM_HEADER, [format_claim(study, claim) for claim in study.spec["claims"]])


def format_claim(study: Study, claim: Mapping[str, Any]) -> list[str]:
    """Return the cells of a claim, in the order of `CLAIM_HEADER`."""
    source, target = claim["source"], claim.get("target")
    source_cell = source["by"] + (f": {source['value']:g}" if "value" in source else "")
    references = {spec["name"]: study.number(spec) for spec in claim.get("references", [])}
    if "trend" in claim:
        numbers = [number for number in study.trend(claim) if number is not None]
        baselines, measured = "", f"{numbers[0]} → {numbers[-1]}" if numbers else ""
    else:
        number = study.number(claim["measured"])
        numbers = [] if number is None else [number]
        baselines = format_baselines(study, claim)
        measured = f"{claim['measured'].get('name', '')} {number}".strip() if number is not None else ""
    return [
        claim["claim"],
        source_cell,
        "" if target is None else f"{target:g}",
        baselines,
        ", ".join(f"{name} {'not run' if number is None else number}" for name, number in references.items()),
        measured,
        count_seeds(numbers),
        format_result(study, claim, numbers),
    ]


def format_baselines(study: Study, claim: Mapping[str, Any]) -> str:
    """Return the baselines of a claim, with their paired differences."""
    numbers = {spec["name"]: study.number(spec) for spec in claim.get("baselines", [])}
    differences = {spec["name"]: study.paired_difference(spec) for spec in claim.get("baselines", [])}
    cells = []
    for name, number in numbers.items():
        difference = differences.get(name)
        suffix = f" (paired difference {difference})" if difference is not None else ""
        cells.append(f"{name} {'not run' if number is None else number}{suffix}")
    return ", ".join(cells)


def format_result(study: Study, claim: Mapping[str, Any], numbers: list[Number]) -> str:
    """Return the result of a claim, with the number of seeds if there are fewer than the claim's `seeds`."""
    result, count = study.evaluate(claim), count_seeds(numbers)
    few = result.outcome != NOT_RUN and int(count or 0) < claim.get("seeds", 1)
    return f"**{result}**" + (f", {count} of {claim['seeds']} seeds" if few else "")


def count_seeds(numbers: list[Number]) -> str:
    """Return the smallest number of runs behind these numbers; empty if there are no numbers."""
    return str(min(number.runs for number in numbers)) if numbers else ""


def format_conclusions(study: Study) -> str:
    """Return the conclusions that the study has for the outcomes of its claims."""
    conclusions = [claim.get("conclusion", {}).get(study.evaluate(claim).outcome) for claim in study.spec["claims"]]
    return " ".join(conclusion.strip() for conclusion in conclusions if conclusion)


def format_runs_table(study: Study, spec: Mapping[str, Any]) -> str:
    """Return numbers of several runs in a table.

    Args:
        study: the study.
        spec: `rows`, label -> run or pattern; `columns`, header -> key; optionally `title` and `row_header`.
    """
    rows = []
    for label, pattern in spec["rows"].items():
        cells = [format_cell(study, pattern, column) for column in spec["columns"].values()]
        if any(cells):
            rows.append([label, *cells])
    if not rows:
        return ""
    title = f"**{spec['title']}**\n\n" if "title" in spec else ""
    return title + markdown_table([spec.get("row_header", "run"), *spec["columns"]], rows)


def format_cell(study: Study, pattern: str, column: str | Mapping[str, Any]) -> str:
    """Return one number of a table; with `convention`, the KL weight of another project that equals the run's beta."""
    if isinstance(column, str):
        column = {"key": column}
    if "convention" in column:
        return format_weight(study, pattern, column)
    number = study.number({"run": pattern, **column})
    return "" if number is None else str(number)


def format_weight(study: Study, pattern: str, column: Mapping[str, Any]) -> str:
    """Return the KL weight of another project that equals the run's beta."""
    from autoencoders.objectives.loss_conventions import from_beta

    results = study.select(pattern)
    if not results:
        return ""
    config = results[0].config
    sizes = {"scale": config["likelihood"]["scale"], "pixels": column["pixels"], "batch": column["batch"]}
    return f"{from_beta(config['beta']['value'], column['convention'], **sizes):.2g}"


def write_summary(studies: list[Study]) -> Path:
    """Write `experiments/README.md`: every claim of every study in one table."""
    intro = (HERE / "intro.md").read_text().strip()
    rows = []
    for study in studies:
        link = f"[{study.name}]({study.name}/README.md)"
        rows += [[link, *cells] for cells in json.loads((study.folder / CLAIMS).read_text())]
    counts: dict[str, int] = {}
    for row in rows:
        outcome = row[-1].split("**")[1].split(" (")[0]
        counts[outcome] = counts.get(outcome, 0) + 1
    totals = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items(), key=lambda item: -item[1]))
    page = HERE / "README.md"
    page.write_text(f"{intro}\n\n{len(rows)} claims: {totals}.\n\n{markdown_table(['study', *CLAIM_HEADER], rows)}\n")
    return page


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
