"""What a user has chosen, against a run of which nothing is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoencoders.config.compose import number
from autoencoders.reports.comparison import TYPED, differing, grouped, worded
from autoencoders.reports.run_folder import inside


def changed(config: Mapping, defaults: Mapping, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """What was chosen, against a run of which nothing is said: setting -> `old → new`.

    First the options of groups, also those that another's option has chosen (data=lfw its net); then values. Where a
    group has another option all its values are others, and only those are told that were typed.

    Args:
        config: resolved, with the option of each group under `choices`.
        defaults: the same, where nothing is typed.
        overrides: what was typed.
    """
    old, new = defaults["choices"], config["choices"]
    found = {
        group: (worded(old.get(group)), worded(now))
        for group, now in new.items()
        if not set("/@") & set(group) and number(f"{group}/{now}") is None and str(old.get(group)) != str(now)
    }
    other, typed = (*found, "model", "callbacks"), [word.lstrip("+~").partition("=")[::2] for word in overrides]
    told = set(found)
    for keys, values in grouped(differing([{**defaults, "choices": None}, {**config, "choices": None}])).items():
        known = [key for key in keys if key in dict(typed) or key.partition(".")[0] not in other]
        if known and known[0] not in found:
            told |= {*keys, *(TYPED.get(key, key) for key in keys)}
            found[known[0]] = tuple(values)
    for key, value in typed:  # of a callback or a logger, say
        was = worded(old[key] if key in old else inside(defaults, *key.split(".")))
        if key not in told and was != value and number(f"{key}/{value}") is None:
            found[key] = (was, value)
    return [(name, f"{was} → {now}") for name, (was, now) in found.items()]
