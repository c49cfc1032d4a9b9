"""Tables of the options in `conf/`, with their defaults and comments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from autoencoders.config.compose import CONF, SHARED, config_groups
from sitegen.markdown import code, escape, table

FULL_LINE = 90
"""Characters of a comment line; a shorter line was not broken because of its length."""
HEADER = ["option", "default", "meaning"]


@dataclass(frozen=True)
class Option:
    """One line of an option file.

    Attributes:
        key: dotted name in the file.
        default: YAML text of the value; empty if the value is a mapping.
        comment: comment of the line, with its continuation lines.
    """

    key: str
    default: str
    comment: str

    @property
    def only_refers(self) -> bool:
        """Whether the value is a class or only repeats another option, and nothing is said about it."""
        is_class = self.key.split(".")[-1] in ("_target_", "_partial_")
        return not self.comment and (is_class or self.default.startswith("${"))


@dataclass(frozen=True)
class OptionFile:
    """Content of a YAML file in `conf/`.

    Attributes:
        description: comment at the top of the file.
        package: name before the keys on the command line, such as `data`; empty for `# @package _global_`.
        options: options of the file.
        choices: entries of the defaults list, with comments: option, default.
        parents: files that this file extends: name, and the name before their keys if it is another one.
    """

    description: str
    package: str
    options: list[Option]
    choices: list[Option] = field(default_factory=list)
    parents: list[tuple[str, str | None]] = field(default_factory=list)


def read_options(name: str) -> OptionFile:
    """Read `conf/<name>.yaml`, for example `model/vae` or `train`."""
    text = (CONF / f"{name}.yaml").read_text()
    lines = text.splitlines()
    group = name.rpartition("/")[0]
    package, head = group.replace("/", "."), []
    for line in lines:
        if not line.startswith("#"):
            break
        if line.startswith("# @package"):
            package = line.split()[-1].replace("_global_", "")
        else:
            head.append(line.removeprefix("#").strip())
    root = yaml.compose(text)
    options = list(_walk(root, lines)) if isinstance(root, yaml.MappingNode) else []
    options = [option for option in options if option.key.split(".")[0] != "defaults"]
    choices, parents = _defaults(root, lines, group)
    return OptionFile(_join_lines(head), package, options, choices, parents)


def _join_lines(lines: list[str]) -> str:
    """Join the lines of a comment. A line that is not full ends a paragraph."""
    text = ""
    for i, line in enumerate(lines):
        text += line if i == len(lines) - 1 else line + (" " if len(line) > FULL_LINE else "\n\n")
    return text


def _walk(node: yaml.MappingNode, lines: list[str], prefix: str = "") -> Iterator[Option]:
    for key, value in node.value:
        name, number = f"{prefix}{key.value}", key.start_mark.line
        above = _comment_above(lines, number, key.start_mark.column)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            comment = " ".join(filter(None, [above, _comment(lines, number, key.end_mark.column)]))
            if comment:
                yield Option(name, "", comment)
            yield from _walk(value, lines, f"{name}.")
        else:
            end = value.end_mark
            comment = " ".join(filter(None, [above, _comment(lines, end.line, end.column)]))
            yield Option(name, _source(lines, value), comment)


def _source(lines: list[str], node: yaml.Node) -> str:
    """Return the YAML text of a value, in one line."""
    start, end = node.start_mark, node.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column].strip()
    rows = [lines[start.line][start.column :], *lines[start.line + 1 : end.line], lines[end.line][: end.column]]
    return " ".join(row.strip() for row in rows if row.strip())


def _comment(lines: list[str], number: int, column: int) -> str:
    """Return the comment after a column of a line, with the lines below it that continue the comment."""
    start = lines[number].find("#", column) if number < len(lines) else -1
    if start < 0:
        return ""
    parts = [lines[number][start + 1 :].strip()]
    for line in lines[number + 1 :]:
        stripped = line.lstrip()
        if not stripped.startswith("#") or len(line) - len(stripped) < start:
            break
        parts.append(stripped.removeprefix("#").strip())
    return " ".join(parts)


def _comment_above(lines: list[str], number: int, column: int) -> str:
    """Return the comment in the lines above a nested key, at the same column as the key."""
    parts: list[str] = []
    for line in reversed(lines[:number] if column else []):
        if not line[column:].startswith("#") or line[:column].strip():
            break
        parts.insert(0, line.strip().removeprefix("#").strip())
    return " ".join(parts)


def _defaults(root: yaml.Node, lines: list[str], group: str) -> tuple[list[Option], list[tuple[str, str | None]]]:
    """Return the entries of the defaults list that select an option of a group, and the files that are extended."""
    nodes = {key.value: value for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    choices: list[Option] = []
    parents: list[tuple[str, str | None]] = []
    for entry in nodes["defaults"].value if "defaults" in nodes else []:
        key, value = entry.value[0] if isinstance(entry, yaml.MappingNode) else (None, entry)
        comment = _comment(lines, value.end_mark.line, value.end_mark.column)
        if key is None and value.value != "_self_":
            name, _, package = value.value.lstrip("/").partition("@")
            own = package if package not in ("", "_here_") else None
            parents.append((name if "/" in name else f"{group}/{name}" if group else name, own))
            if own:
                choices.append(Option(own, name, comment))
        elif key is not None and "hydra/" not in key.value:
            name = key.value.removeprefix("override ").lstrip("/").partition("@_global_")[0]
            choices.append(Option(name, _source(lines, value), comment))
    return choices, parents


def option_table(name: str, package: str | None = None) -> str:
    """Return a table of the options of a file and of the files that it extends.

    Args:
        name: file in `conf/` without `.yaml`, such as `data/lfw`.
        package: name before the keys on the command line; None for that of the file.
    """
    found: dict[str, Option] = {}
    for option, prefix in _with_parents(name, package):
        full = f"{prefix}.{option.key}" if prefix else option.key
        first = found.get(full, option)  # a file's own value, with the comment of the file that it extends
        found[full] = Option(full, first.default, first.comment or option.comment)
    shown = [option for option in found.values() if not option.only_refers]
    rows = [[code(option.key), code(option.default), escape(option.comment)] for option in shown]
    return table(HEADER, rows) if rows else "No options."


def _with_parents(name: str, package: str | None) -> Iterator[tuple[Option, str]]:
    file = read_options(name)
    prefix = file.package if package is None else package
    for option in file.options:
        yield option, prefix
    for parent, own in file.parents:
        if parent.partition("/")[0] in (SHARED, name.partition("/")[0]):
            yield from _with_parents(parent, own or prefix)


def option_section(name: str) -> str:
    """Return the description, the class, the selected options and the table of options of a file."""
    file = read_options(name)
    lines = [escape(file.description)] if file.description else []
    targets = [option.default for option in file.options if option.key.split(".")[-1] == "_target_"]
    own = [target for target in dict.fromkeys(targets) if target.startswith("autoencoders.")]
    if own:
        lines.append("Code: " + ", ".join(f"{{py:obj}}`{target}`" for target in own) + ".")
    selected = [
        f"`{choice.key}={choice.default}`" + (f" ({escape(choice.comment)})" if choice.comment else "")
        for choice in file.choices
    ]
    if selected:
        lines.append(f"Selects {', '.join(selected)}.")
    shown = [parent.split("/")[-1] for parent, _ in file.parents if parent.split("/")[0] == name.split("/")[0]]
    if shown:
        lines.append("Extends " + ", ".join(f"`{parent}`" for parent in shown) + ".")
    return "\n\n".join([*lines, option_table(name)])


def group_page(group: str) -> str:
    """Return the page of a config group, with a section for each of its options."""
    sections = [f"## {option}\n\n{option_section(f'{group}/{option}')}" for option in config_groups()[group]]
    return f"# Options: {group}\n\n`{group}=...` selects one of these options.\n\n" + "\n\n".join(sections) + "\n"


def entry_page(entry: str) -> str:
    """Return the page of an entry point such as `train`: its groups and its own options."""
    file, groups = read_options(entry), config_groups()
    rows = []
    for choice in file.choices:
        group = choice.key.partition("@")[0]
        link = f"[`{choice.key}`]({group}.md)" if group in groups else code(choice.key)
        rows.append([link, code(choice.default), escape(choice.comment)])
    parts = [f"# Options: {entry}", escape(file.description)]
    if rows:
        parts += ["## Groups", table(["group", "default", "meaning"], rows)]
    return "\n\n".join([*parts, "## Options", option_table(entry)]) + "\n"


def option_pages() -> dict[str, str]:
    """Return all pages of options: file name -> Markdown."""
    entries = sorted(path.stem for path in Path(CONF).glob("*.yaml"))
    pages = {f"{entry}.md": entry_page(entry) for entry in entries}
    pages |= {f"{group}.md": group_page(group) for group in config_groups()}
    purposes = {entry: escape(read_options(entry).description.replace("\n\n", " ")) for entry in entries}
    rows = [[f"[`{entry}`]({entry}.md)", purpose] for entry, purpose in purposes.items()]
    names = {group: ", ".join(f"`{option}`" for option in options) for group, options in config_groups().items()}
    groups = [[f"[`{group}`]({group}.md)", options] for group, options in names.items()]
    toctree = "\n".join(f"{name} <{name}>" for name in (Path(page).stem for page in pages))
    pages["index.md"] = (
        "# Options\n\nEvery option of the commands, its default and its meaning, from the comments in `conf/`. An "
        "option that only repeats the value of another option is left out; `--cfg job` prints it.\n\n"
        f"{table(['command', 'purpose'], rows)}\n\n{table(['group', 'options'], groups)}\n\n"
        f"```{{toctree}}\n:hidden:\n{toctree}\n```\n"
    )
    return pages
