"""Suggestion of the valid name that is most similar to an unknown name."""

from __future__ import annotations

import difflib


def suggest_name(name: str, known: list[str], form: str = "{}") -> str:
    """Return ` Did you mean <known name>?` for the most similar known name, or an empty string without a similar name.

    Options in the same group are compared first. If the group is unknown, full names and last components of names are
    compared: `lr` is similar to `optimizer.lr`.

    Args:
        name: the unknown name.
        known: all valid names.
        form: format string for the suggested name, for example `model={}`.
    """
    group, _, last = name.rpartition(".")
    by_last = {key.rpartition(".")[2]: key for key in sorted(known, key=len, reverse=True)}
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == group}
    matches = [siblings[match] for match in difflib.get_close_matches(last, siblings, 1, 0.6)]
    if not matches and group not in known:
        matches = difflib.get_close_matches(name, known, 1, 0.6)
        matches = matches or [by_last[match] for match in difflib.get_close_matches(last, by_last, 1, 0.7)]
    return f" Did you mean {form.format(matches[0])}?" if matches else ""
