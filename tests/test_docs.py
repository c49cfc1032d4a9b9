"""The documentation site: generated parts agree with `conf/` and `experiments/`, and it builds without warnings."""

import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sitegen import DOCS, REPOSITORY
from sitegen.docstrings import docstring_to_rst
from sitegen.llms import Page, first_sentence, index_text
from sitegen.markdown import escape, relocate_links, site_page, table
from sitegen.numbers import claim_cells, kept_runs, measured_table
from sitegen.options import option_pages, option_table, read_options
from sitegen.pages import API_PACKAGES, INTERNAL_PACKAGES, api_modules, render, write_pages

from autoencoders.config.compose import CONF, config_groups

KINDS = {"models": ("model", "Equation"), "nets": ("net", "Layers"), "data": ("data", "Images")}
GENERATED = ("_build", "api", "experiments", "options")
HAND_WRITTEN = [f for f in sorted(DOCS.rglob("*.md")) if f.relative_to(DOCS).parts[0] not in GENERATED]


def build(builder, out, *options):
    """Build the site with warnings as errors, in a process of its own."""
    command = [sys.executable, "-m", "sphinx", "-E", "-q", "-W", "--keep-going", "-b", builder, *options, DOCS, out]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=REPOSITORY, timeout=900)


def test_the_site_builds_without_warnings(tmp_path):
    """All pages are read and all links resolved. The Python API and HTML files take minutes; see the next test."""
    done = build("dummy", tmp_path, "-D", "sitegen_api=0")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_complete_site_builds_without_warnings(tmp_path):
    done = build("html", tmp_path)
    assert done.returncode == 0, done.stderr
    vae = (tmp_path / "models/vae.html").read_text()
    assert "<munderover>" in vae  # equations do not need a script
    assert 'id="autoencoders.models.vae.VAE"' in (tmp_path / "api/models.html").read_text()
    assert not re.search(r'<(script|link)[^>]+(src|href)="https?://', vae)
    links = re.findall(r"^- \[.*?\]\((.*?)\)", (tmp_path / "llms.txt").read_text(), re.MULTILINE)
    assert {"choose.md", "api/index.html", "wandb.md", "changelog.md"} <= set(links)
    assert [link for link in links if not (tmp_path / link).is_file()] == []
    assert "model.l1" in (tmp_path / "llms-full.txt").read_text()


@pytest.mark.parametrize("folder", KINDS)
def test_every_model_net_and_dataset_has_a_page(folder):
    group, first = KINDS[folder]
    pages = {file.stem: file.read_text() for file in (DOCS / folder).glob("*.md") if file.stem != "index"}
    assert sorted(pages) == config_groups()[group]
    for name, text in pages.items():
        assert re.findall(r"^## (.*)$", text, re.M) == [first, "When to use it", "Limitations", "Options", "Measured"]
        assert f"`{group}={name}`" in text.splitlines()[0]
        assert f"<!-- options: {group}/{name} -->" in text
        assert f"<!-- measured: {group}={name} -->" in text


@pytest.fixture(scope="module")
def pages_of_options():
    """The generated pages of options, by the name of their file."""
    return option_pages()


def leaves(node, prefix=""):
    """Return the dotted names of the values of a configuration."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda f: f.relative_to(CONF).as_posix())
def test_every_option_and_comment_is_on_its_page(file, pages_of_options):
    name = file.relative_to(CONF).as_posix().removesuffix(".yaml")
    group = name.rpartition("/")[0]
    if group == "shared":
        pytest.skip("other options extend this file")
    page = pages_of_options[f"{group or name}.md"].replace("\\", "")
    text = file.read_text()
    prefix = f"{group}." if group and "@package _global_" not in text else ""
    content = {key: value for key, value in (yaml.safe_load(text) or {}).items() if key != "defaults"}
    for key, value in leaves(content, prefix):
        words = key.split(".")
        if words[-1] in ("_target_", "_partial_") or (isinstance(value, str) and value.startswith("${")):
            continue
        # a mapping in one line is one row
        assert any(f"`{'.'.join(words[:i])}`" in page for i in range(len(words), 0, -1)), key
    flat = " ".join(page.split())
    for comment in re.findall(r"(?:^|\s)# (?!@package)(.*)$", text, re.MULTILINE):
        assert " ".join(comment.split()) in flat


def test_options_of_a_file():
    file = read_options("trainer/auto")
    found = {option.key: option for option in file.options}
    assert found["num_nodes"].default == "1"
    assert found["precision"].comment.endswith("auto: bf16-mixed if the device has bfloat16 instructions")
    assert found["max_epochs"].comment == ""
    train = read_options("train")
    assert "folder of its own" in next(o.comment for o in train.options if o.key == "hydra.run.dir")
    assert {(c.key, c.default) for c in train.choices} >= {("optimizer", "adam"), ("application@after_fit", "none")}
    lfw = option_table("data/lfw")
    assert "| `data.batch_size` | `64` |" in lfw
    assert "| `data.batch_size` | `128` |" not in lfw  # replaced by the file's own value
    assert "| `data.validation` | `0.1` |" in lfw  # from shared/images.yaml
    assert "| `data.flip` | `true` | mirror training images with probability 1/2 |" in lfw  # own value, its comment


def test_measured_numbers_are_those_of_the_experiments():
    files = [json.loads((REPOSITORY / f"experiments/compare/results/ae-seed{i}.json").read_text()) for i in range(3)]
    values = [content["metrics"]["test/mse"] for content in files]
    [row] = [line for line in measured_table({"model": "ae", "data": "digits"}).splitlines() if "compare" in line]
    cells = [cell.strip() for cell in row.split("|")]
    error = statistics.stdev(values) / 3**0.5
    assert f"{statistics.fmean(values):.4g}\u00a0±\u00a0{error:.1g}" in cells
    assert "3" in cells
    assert sum(len(contents) for contents in kept_runs().values()) == len(
        [f for f in REPOSITORY.glob("experiments/*/results/*.json") if json.loads(f.read_text())["record"]]
    )
    assert "Not measured" in measured_table({"model": "ae", "net": "no_such_net"})


def test_claims_of_the_page_choose_are_found_by_their_text():
    claims = json.loads((REPOSITORY / "experiments/compare/claims.json").read_text())
    measured, baseline, result = claim_cells("compare", claims[0][0]).replace("\u00a0", " ").split(" | ")
    assert (measured, baseline) == (claims[0][5], claims[0][3])
    assert result.startswith(claims[0][7])
    with pytest.raises(ValueError, match="One claim of compare must start with 'no', got 0"):
        claim_cells("compare", "no")


def test_links_lead_to_pages_of_the_site():
    page = DOCS / "models/vae.md"
    text = (
        "[a](../../conf/net/conv.yaml) [b](../../experiments/compare/README.md) ![c](../cvae-mnist-samples.png) [](#x)"
    )
    assert relocate_links(text, page, DOCS / "x.md") == (
        "[a](options/net.md#conv) [b](experiments/compare.md) ![c](cvae-mnist-samples.png) [](#x)"
    )
    assert relocate_links("```\n[a](missing.md)\n```", page, page) == "```\n[a](missing.md)\n```"
    with pytest.raises(FileNotFoundError, match=r"docs/models/vae\.md links to missing\.md"):
        relocate_links("[a](missing.md)", page, page)
    assert site_page(REPOSITORY / "LICENSE") == (REPOSITORY / "LICENSE", "")


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_generated_parts_of_pages_are_complete(page):
    text = render(page.read_text(), page)
    assert not re.search(r"<!-- (options|measured|claim|include|pages):", text)
    assert text.startswith("# ")


def test_generated_pages_replace_old_ones(tmp_path):
    old = tmp_path / "options/removed.md"
    old.parent.mkdir()
    old.touch()
    pages = write_pages(tmp_path)
    times = {page: page.stat().st_mtime_ns for page in pages}
    assert not old.exists()
    assert {page.name for page in (tmp_path / "experiments").iterdir()} >= {"compare.md", "index.md"}
    assert "automodule:: autoencoders.models.vae" in (tmp_path / "api/models.md").read_text()
    assert {page: page.stat().st_mtime_ns for page in write_pages(tmp_path)} == times
    write_pages(tmp_path, api=False)
    assert "automodule" not in (tmp_path / "api/models.md").read_text()


def test_every_package_is_documented_or_internal():
    assert sorted([*API_PACKAGES, *INTERNAL_PACKAGES]) == api_modules()


def test_docstrings_become_restructured_text():
    lines = ["|x| is `a`^i of name_ and 2 * 3.", "", "    z = |x|", "", "Args:", "    **o: |y|."]
    assert docstring_to_rst(lines) == [
        "\\|x\\| is `a`\\ ^i of name\\_ and 2 \\* 3.", "", "::", "", "    z = |x|", "", "Args:", "    **o: \\|y\\|.",
    ]  # fmt: skip
    assert docstring_to_rst(["Sizes: one."], inline_attribute=True) == ["\\ ", "Sizes: one."]


def test_markdown_is_escaped():
    assert escape("[a_b] < `c_d` *") == "\\[a\\_b\\] \\< `c_d` \\*"
    assert table(["a"], [["b | c"]]).splitlines() == ["| a |", "| --- |", "| b \\| c |"]


def test_llms_text_follows_the_format():
    text = index_text("name", "summary", {"Guide": [Page("Start", "index.md", "First"), Page("Empty", "e.md", "")]})
    assert text == "# name\n\n> summary\n\n## Guide\n\n- [Start](index.md): First\n- [Empty](e.md)\n"
    assert first_sentence("One\nline. Two.") == "One line"
    assert len(first_sentence("word " * 100)) <= 200


def test_all_pages_are_in_the_table_of_contents():
    root = (DOCS / "index.md").read_text()
    top = set(re.findall(r"^([\w/-]+)$", "\n".join(re.findall(r"```{toctree}(.*?)```", root, re.DOTALL)), re.M))
    pages = {f.relative_to(DOCS).with_suffix("").as_posix() for f in HAND_WRITTEN if f.parent == DOCS}
    assert pages - {"index"} <= top
    assert {Path(name).name for name in ("models", "nets", "data", "tutorials")} == {
        f.parent.name for f in HAND_WRITTEN if f.parent != DOCS
    }
