"""Options of config nodes, checked against the signatures of the classes that they name.

Names and types are read from the annotations. Ranges are checked by the constructors, which raise UserError.
"""

from __future__ import annotations

import inspect
import logging
import os
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from hydra.utils import get_object

from autoencoders.config.overrides import suggest_name
from autoencoders.types import UserError

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it logs the error that it raises
NAMES = {
    "int": int, "float": float, "bool": bool, "str": str, "None": type(None), "Sequence[int]": list[int],
    "Sequence[str]": list[str], "tuple[float, float]": list[float],
}  # fmt: skip
"""Types of the annotations of this package, which are unevaluated strings."""
WORDS = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null", list: "a list",
    dict: "a group of options",
}  # fmt: skip


def check_options(path: str, node: Any) -> None:
    """Raise UserError if nested config nodes contain unknown options or values of the wrong type.

    Args:
        path: name of the node, for example `data`.
        node: plain containers.
    """
    if isinstance(node, Mapping):
        if "_target_" in node:
            _check_node(path, node)
        node = {str(name): child for name, child in node.items()}
    elif isinstance(node, list):
        node = dict(enumerate(node))
    else:
        return
    for name, child in node.items():
        check_options(f"{path}.{name}", child)


def _check_node(path: str, node: Mapping) -> None:
    options = constructor_parameters(find_target(path, node["_target_"]))
    for name, value in node.items():
        if str(name).startswith("_"):
            continue
        if name not in options and "**" not in options:
            known = [option for option in options if option not in node]
            raise UserError(f"{path} has no option {name!r}.{suggest_name(str(name), known, path + '.{}')}")
        kinds = annotation_types(options.get(name, Any))
        automatic = value == "auto" and path.endswith("schedule")  # is replaced by the steps of the run
        if not automatic and not isinstance(value, Mapping) and not matches_type(value, kinds):
            plain = [kind for kind in kinds if kind in WORDS or typing.get_origin(kind)]  # YAML cannot contain a Tensor
            wanted = " or ".join(dict.fromkeys(_called(kind) for kind in plain or kinds))
            raise UserError(f"{path}.{name} must be {wanted}, got {value!r}.")


def find_target(path: str, target: Any) -> Any:
    """Return the class or function that a config node names.

    Raises:
        UserError: if it does not exist.
    """
    try:
        return get_object(target)
    except Exception as error:  # the import of a wrong name may raise anything
        reason = " ".join(str(error).split())
        raise UserError(f"{path}._target_ must name a class or function, got {target!r}: {reason}.") from error


def constructor_parameters(target: Callable) -> dict[str, Any]:
    """Return the parameters of a class or function with their annotations, and `**` if it accepts any.

    Parameters that a constructor passes on as `**common` are those of its base class.
    """
    makers = [c.__init__ for c in target.__mro__ if "__init__" in vars(c)] if isinstance(target, type) else [target]
    options: dict[str, Any] = {}
    for maker in makers:
        try:
            given = list(inspect.signature(maker).parameters.values())
        except (TypeError, ValueError):  # a builtin implemented in C
            return options | {"**": Any}
        kinds = {parameter.kind for parameter in given}
        options = {p.name: p.annotation for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} | options
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            return options
    return options | {"**": Any}


def annotation_types(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of an annotation; `(Any,)` if it cannot be checked."""
    if isinstance(annotation, str):
        words = [word.strip() for word in annotation.split("|")]
        return tuple(NAMES[word] for word in words) if set(words) <= set(NAMES) else (Any,)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(kind for part in typing.get_args(annotation) for kind in annotation_types(part))
    return (annotation,)


def matches_type(value: Any, kinds: tuple[Any, ...]) -> bool:
    """Return whether a plain value has one of these types. Unknown types match every value."""
    return any(_fits(value, kind) for kind in kinds)


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if origin in (list, tuple):
        inner = [k for k in typing.get_args(kind) if k is not Ellipsis]
        return isinstance(value, list) and all(any(matches_type(v, annotation_types(k)) for k in inner) for v in value)
    if kind in (Any, inspect.Parameter.empty):
        return True
    if kind not in WORDS:  # such as Path or Tensor, which YAML cannot contain; a Path may be given as text
        return not isinstance(kind, type) or (issubclass(kind, os.PathLike) and isinstance(value, str))
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind) and value == value  # NaN is not accepted


def _called(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if origin in (list, tuple):
        members = {int: " of whole numbers", float: " of numbers", str: " of words"}
        return "a list" + members.get(typing.get_args(kind)[0], "")
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))
