"""Pages in HTML and Markdown: self-contained, escaped, and complete."""

import base64
import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser

import markdown as reference_markdown
import pytest
from PIL import Image

from autoencoders.reports.content import ReportOptions, build_report
from autoencoders.reports.discovery import find_runs
from autoencoders.reports.html import render_html
from autoencoders.reports.markdown import escape_markdown, render_markdown
from autoencoders.types import UserError

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'`|${7*7}{{7*7}}](javascript:alert(1))"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class PageParser(HTMLParser):
    """Collects the tags, attributes and texts of a page. Fails if a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def render_reference(text):
    """Render Markdown with another library."""
    return reference_markdown.markdown(text, extensions=["tables", "fenced_code"]).replace(" />", ">")


def render_page(*folders, **options):
    return render_html(build_report(find_runs(folders), ReportOptions(**options)))


def test_the_page_is_self_contained(make_run):
    text = render_page(make_run("a"), make_run("b", {"test/rate": 4.0}, {"beta.value": 4}))
    parser = PageParser(text)
    addresses = [value for _, name, value in parser.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in addresses)
    assert "link" not in parser.tags
    assert "url(" not in text
    assert "@import" not in text
    assert parser.tags.count("script") == parser.tags.count("style") == 1
    places = {value for _, name, value in parser.attributes if name == "id"}
    assert {value[1:] for _, name, value in parser.attributes if name == "href"} <= places


def test_the_policy_allows_only_the_style_and_script_of_the_page(make_run):
    text = render_page(make_run("a"))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for tag in ("style", "script"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.fixture
def evil(make_run, add_table, add_text):
    """Report of runs with the hostile text in every place that comes from a run or an option."""
    folder = make_run(
        "a<b>&\"'", config={"model.name": EVIL, "data.name": EVIL, "beta.value": EVIL}, overrides=[EVIL],
        device=EVIL, versions={EVIL: EVIL}, status="failed", error=EVIL,
    )  # fmt: skip
    add_table(folder, "reconstruct/errors", [{"method": EVIL, EVIL: EVIL, "mse": 1}])
    add_table(
        folder, "evaluate/evaluation", [dict.fromkeys(("measure", "unit", "method", "note"), EVIL) | {"value": 1}]
    )
    add_text(folder, "evaluate/protocol", EVIL)
    return build_report(find_runs([folder, make_run("b")]), ReportOptions(title=EVIL, question=EVIL, conclusion=EVIL))


def test_all_texts_are_escaped_in_html(evil):
    parser = PageParser(render_html(evil))
    assert parser.tags.count("script") == 1
    assert parser.tags.count("img") == parser.tags.count("figure") - 4 + 1  # four tables; plus the image of the dialog
    assert not any(name.startswith("on") for _, name, _ in parser.attributes)
    texts = [" ".join(text.split()) for text in parser.texts]
    assert sum(EVIL in text for text in texts) >= 12  # shown as text


def test_all_texts_are_escaped_in_markdown(evil, tmp_path):
    written, _ = render_markdown(evil, tmp_path, tmp_path / "figures")
    assert "<script" not in re.sub(r"```.*?```", "", written, flags=re.DOTALL)
    parser = PageParser(render_reference(written))
    assert "script" not in parser.tags
    assert "a" not in parser.tags
    assert all(value.endswith(".png") for _, name, value in parser.attributes if name == "src")
    assert not any(name.startswith("on") for _, name, _ in parser.attributes)


def test_the_page_contains_every_metric_and_the_last_figure_of_every_run(make_run):
    metrics = {"a": {"test/mse": 0.0123, "test/neg_elbo": 91.25}, "b": {"test/mse": 0.0234, "test/neg_elbo": 92.5}}
    folders = [make_run(name, values) for name, values in metrics.items()]
    text = render_page(*folders)
    for expected in ("0.01230", "0.02340", "91.25", "92.50", "c0ffee"):
        assert expected in text
    for folder in folders:
        last, first = ((folder / f"figures/samples/{step}.png").read_bytes() for step in ("000012", "000005"))
        assert base64.b64encode(last).decode() in text
        assert base64.b64encode(first).decode() not in text


def test_best_values_are_marked_in_the_page(make_run):
    text = render_page(make_run("a", {"test/mse": 0.01}), make_run("b", {"test/mse": 0.02}))
    marked = re.findall(r'class="[^"]*\bbest\b[^"]*"[^>]*>(.*?)</td>', text, re.DOTALL)
    assert [re.sub(r"<.*?>", "", cell).strip() for cell in marked] == ["● 0.01000"]


def test_an_unfinished_run_is_shown_with_its_problems(make_run):
    folder = make_run("b", status="running")
    (folder / "metrics.json").unlink()
    (folder / "figures/samples/000012.png").write_bytes(b"\x89PNG\r\n")
    empty = make_run("c")
    for file in ("config.yaml", "metrics.json"):
        (empty / file).unlink()
    (empty / "run.json").write_text(
        json.dumps({"format": 2, "overrides": 3, "data": [], "versions": "x", "seconds": "y"})
    )
    text = render_page(make_run("a"), folder, empty)
    assert "interrupted: its process ended without writing a status" in text
    assert "metrics.json is missing" in text
    assert "samples (cannot be read)" in text
    PageParser(text)


def test_a_sweep_has_rate_distortion_and_curve_figures(make_run, add_curves):
    folders = [
        make_run(f"{i}", {"test/rate": 12 / beta, "test/distortion": 80 + beta}, {"beta.value": beta})
        for i, beta in enumerate((0.5, 1, 4))
    ]
    for folder in folders:
        add_curves(folder)
    page = build_report(find_runs(folders))
    drawn = {group.title: group.pictures for section in page.sections for group in section.groups}
    assert [p.caption for p in drawn["Distortion against rate"]] == ["test split of digits, VAE"]
    assert [p.caption for p in drawn["Validation metrics during training"]] == ["val/neg_elbo", "val/mse"]
    assert all(p.content.startswith(b"\x89PNG") for p in drawn["Distortion against rate"])


def test_dollar_signs_in_names_are_not_formulas(make_run, add_curves):
    folders = [make_run(name, config={"seed": "$\\frac$"}, status=name) for name in ("$\\frac$ x", "b" * 90)]
    for folder, beta in zip(folders, ("$\\x$", "$\\y$"), strict=True):
        add_curves(folder)
        (folder / "config.yaml").write_text(
            (folder / "config.yaml").read_text().replace("value: 1", f"value: '{beta}'")
        )
    page = build_report(find_runs(folders))
    assert sum(len(group.pictures) for section in page.sections for group in section.groups) == 5


def test_a_single_run_is_compared_with_the_defaults(make_run):
    folder = make_run("a", config={"trainer.max_epochs": 8})
    runs = find_runs([folder])
    defaults = {**runs[0].config, "trainer": {"max_epochs": 20}}
    [table] = build_report(runs, ReportOptions(defaults=defaults)).sections[0].tables
    assert table.columns[0].label == "trainer.max_epochs"
    assert [(row.header, row.cells[0].text) for row in table.rows] == [("default", "20"), ("a", "8")]


def test_sections_and_figures_can_be_chosen_and_unknown_ones_are_refused(make_run):
    folder = make_run("a")
    page = build_report(find_runs([folder]), ReportOptions(sections=["results"]))
    assert ([s.title for s in page.sections], page.commands, page.metadata) == (["Results"], [], [])
    assert "Figures" in [s.title for s in build_report(find_runs([folder]), ReportOptions(figures=["sam*"])).sections]
    with pytest.raises(UserError, match=r"sections must be .*, got samples\. Choose from: commands, differences"):
        build_report(find_runs([folder]), ReportOptions(sections=["samples"]))
    with pytest.raises(UserError, match=r"no run has a figure faces\. The figures in the runs are: samples\."):
        build_report(find_runs([folder]), ReportOptions(figures=["faces"]))


def test_figures_over_the_size_limit_are_named(make_run):
    text = render_page(make_run("a"), megabytes=0)
    assert "data:image" not in text.replace("img-src data:", "")
    assert "These figures of a are not shown: samples (0.0 MB, above the size limit)." in text


def test_markdown_tables_parse_and_links_point_to_the_figures(make_run, tmp_path):
    folders = [make_run("a | b", {"test/mse": 0.01}), make_run("c_d", {"test/mse": 0.02}, {"beta.value": 4})]
    text, files = render_markdown(
        build_report(find_runs(folders), ReportOptions(conclusion="So *it* is.")),
        tmp_path / "docs",
        tmp_path / "docs/figures",
    )
    html = unescape(render_reference(text))
    tables = re.findall(r"<table>.*?</table>", html, re.DOTALL)
    results = next(table for table in tables if "mean image" in table)
    cells = [re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>(.*?)</tr>", results, re.DOTALL)]
    assert {len(row) for row in cells} == {9}
    assert [row[0] for row in cells[1:]] == ["a | b (beta=1)", "c_d (beta=4)"]
    assert [row[4] for row in cells] == ["mse (pixels in [0, 1])", "<strong>0.01000</strong>", "0.02000"]
    assert "<p><strong>Conclusion.</strong> So *it* is.</p>" in html
    links = re.findall(r"!\[.*?\]\((.*?)\)", text)
    written = {path.relative_to(tmp_path / "docs").as_posix() for path in files}
    assert len(links) == 3  # two samples, and rate against distortion, which the report drew
    assert written < set(links)
    assert len(written) == 1
    for link in set(links) - written:
        assert (tmp_path / "docs" / link.replace("%20", " ").replace("%7C", "|")).resolve().is_file()


def test_animations_are_shown(make_run):
    folder = make_run("a")
    frames = [Image.new("L", (5, 3), gray) for gray in (0, 200)]
    frames[0].save(folder / "figures/samples.gif", save_all=True, append_images=frames[1:])
    [_, animation] = next(s for s in build_report(find_runs([folder])).sections if s.title == "Figures").groups
    assert (animation.title, animation.pictures[0].media_type, animation.pictures[0].size) == (
        "samples, moving",
        "image/gif",
        (5, 3),
    )


def test_copied_figures_have_unique_names(make_run, tmp_path):
    folders = [make_run("a.b"), make_run("a-b")]
    text, files = render_markdown(build_report(find_runs(folders)), tmp_path, tmp_path / "figures", copy=True)
    assert {"samples-a-b.png", "samples-a-b-1.png"} <= {path.name for path in files}
    assert "runs/" not in "".join(re.findall(r"!\[.*?\]\((.*?)\)", text))


@pytest.mark.parametrize(
    "text", ["plain", "a | b", "<b>", "[x](y)", "`tick`", "``", "a * b _c_", "&lt;", "1 < 2 # 3", "~~no~~ $x$"]
)
def test_escaped_text_renders_unchanged(text):
    html = re.sub(r"</?p>", "", reference_markdown.markdown(f"x {escape_markdown(text)}"))
    assert unescape(html) == f"x {text}"
