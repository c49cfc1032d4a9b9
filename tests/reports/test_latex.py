"""Tables as LaTeX: balanced environments, escaped characters, and compilation if pdflatex is installed."""

import re
import shutil
import subprocess

import pytest

from autoencoders.reports.content import ReportOptions, build_report
from autoencoders.reports.discovery import find_runs
from autoencoders.reports.latex import escape_latex, render_latex

EVIL = 'a_b & 50% {x} $y$ #1 ~ ^ \\\\ [z] <p> "q" |'
DOCUMENT = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}\n%s\\end{document}"


@pytest.fixture
def text(make_run, add_table):
    """The tables of runs with special characters in names and tables."""
    folders = [make_run(f"[run]_{seed} 50%&#", {"test/mse": 0.01 + seed / 1000}, {"seed": seed}) for seed in (0, 1)]
    for folder in folders:
        add_table(folder, "reconstruct/errors", [{"method": EVIL, "mse": 0.5, "mse +-": 0.1, "note_": EVIL}])
    return render_latex(build_report(find_runs(folders), ReportOptions(title=EVIL)))


def test_environments_are_balanced_and_rows_have_all_cells(text):
    names = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    assert names == [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")] * (len(names) // 4)
    assert len(names) >= 12
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}\n\\toprule\n(.*?)\\bottomrule", text, re.DOTALL):
        rows = [line for line in body.splitlines() if line != r"\midrule"]
        assert all(line.endswith(r" \\") for line in rows)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {len(columns) - 1}


def test_special_characters_are_escaped(text):
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[_#%]", re.sub(r"\\label\{.*\}", "", body))
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    assert r"a\_b \& 50\% \{x\} \$y\$ \#1 \textasciitilde{}" in body
    assert not re.search(r"^\[", body, re.MULTILINE)  # would be an argument of the row above
    assert r"0.50 $\pm$ 0.10" in body
    assert escape_latex("±\u00b2") == r"$\pm$\textsuperscript{2}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_tables_compile(text, tmp_path):
    (tmp_path / "a.tex").write_text(DOCUMENT % text)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
