"""Checks of config nodes against the signatures of the classes or functions that the nodes name in `_target_`.

The valid names and types of options are read from the signatures. Constructors check ranges and raise UserError.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from hydra.utils import get_object

from autoencoders.config.suggestions import suggest_name
from autoencoders.types import UserError

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # this logger repeats an error that is raised anyway
ANNOTATIONS: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "None": type(None), "Sequence[int]": list[int],
    "Sequence[str]": list[str], "tuple[float, float]": list[float], "Literal['auto']": typing.Literal["auto"],
}  # fmt: skip
"""Annotation in the source code of this package, as a string -> Python type of the value in a config node."""
TYPE_NAMES: dict[Any, str] = {
    int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "null", list: "a list",
    dict: "a group of options",
}  # fmt: skip
"""Python type -> description of the type in messages."""


def check_options(path: str, node: Any) -> None:
    """Check the options of a config node and of all nodes inside it.

    Args:
        path: path of the node in the configuration, for example `data`. It is used in messages.
        node: config node as plain dicts and lists.

    Raises:
        UserError: if a class has no option of this name, or an option has a value of the wrong type.
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
        _check_value(path, name, value, options.get(name, Any))


def check_option(path: str, target: str, name: str, value: Any) -> None:
    """Check the type of one option of a config node.

    Args:
        path: path of the node in the configuration, for example `data`.
        target: class or function that the node names in `_target_`.
        name: name of the option.
        value: value of the option.

    Raises:
        UserError: if the value has the wrong type.
    """
    _check_value(path, name, value, constructor_parameters(find_target(path, target)).get(name, Any))


def _check_value(path: str, name: str, value: Any, annotation: Any) -> None:
    automatic = value == "auto" and path.endswith("schedule")  # the run sets the number of steps
    narrowed = (path, name) == ("trainer", "precision")  # a run accepts fewer values than Lightning, and checks them
    if not automatic and not narrowed and not isinstance(value, Mapping):
        check_type(f"{path}.{name}", annotation_types(annotation), value)


def check_type(key: str, kinds: tuple[Any, ...], value: Any) -> None:
    """Raise UserError if the value of an option has none of the types `kinds`."""
    if not matches_type(value, kinds):
        raise UserError(f"{key} must be {_describe_types(kinds)}, got {value!r}.")


def default_types(default: Any) -> tuple[Any, ...]:
    """Return the types of an option that is not an option of a class, from its default value.

    If the default is null, any type is valid. A number may replace text, for example as a name. The default does not
    show whether a number must be an integer.
    """
    if default is None:
        return (Any,)
    if isinstance(default, str):
        return (str, int, float)
    if isinstance(default, list) and default:
        return (types.GenericAlias(list, default_types(default[0])[:1]),)
    kinds = {bool: bool, int: float, float: float, list: list}
    return (next((kinds[kind] for kind in kinds if isinstance(default, kind)), dict),)


def find_target(path: str, target: Any) -> Any:
    """Return the class or function that a config node names in `_target_`.

    Args:
        path: path of the node in the configuration, for the message.
        target: value of `_target_`, for example `torch.optim.Adam`.

    Raises:
        UserError: if the class or function cannot be imported, or the name belongs to another object.
    """
    try:
        found = get_object(target)
        if not callable(found):
            raise TypeError(f"it is a {type(found).__name__}")
        return found
    except Exception as error:  # importing a wrong name may raise any exception
        module = target.partition(".")[0] if isinstance(target, str) else ""
        if module and importlib.util.find_spec(module) is None:
            reason = f"there is no module {module}. Install it, or add its folder to the variable PYTHONPATH"
        else:
            reason = " ".join(str(error).split()).rstrip("?.")
        raise UserError(f"{path}._target_ must name a class or function, got {target!r}: {reason}.") from error


def constructor_parameters(target: Callable) -> dict[str, Any]:
    """Return the parameters of a class or function: name -> annotation.

    If the class or function accepts any keyword argument, the dict has an additional key `**`. If a constructor has a
    parameter such as `**common`, the parameters of the base class are included.
    """
    functions: list[Callable] = [target]
    if isinstance(target, type):
        functions = [vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base)]
    options: dict[str, Any] = {}
    for function in functions:
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # a C function without a signature
            return options | {"**": Any}
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        options = {p.name: p.annotation for p in named} | options
        if all(p.kind != p.VAR_KEYWORD for p in parameters):
            return options
    return options | {"**": Any}


def annotation_types(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation such as `int | None` allows. `(Any,)`: the annotation cannot be checked."""
    if isinstance(annotation, str):
        names = [name.strip() for name in annotation.split("|")]
        return tuple(ANNOTATIONS[name] for name in names) if set(names) <= set(ANNOTATIONS) else (Any,)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(kind for member in typing.get_args(annotation) for kind in annotation_types(member))
    return (annotation,)


def matches_type(value: Any, kinds: tuple[Any, ...]) -> bool:
    """Return whether a value from a config node has one of the types `kinds`. An unknown type matches every value."""
    return any(_matches_one_type(value, kind) for kind in kinds)


def _matches_one_type(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if origin in (list, tuple):
        members = [member for member in typing.get_args(kind) if member is not Ellipsis]
        member_types = tuple(alternative for member in members for alternative in annotation_types(member))
        return isinstance(value, list) and all(matches_type(item, member_types) for item in value)
    if kind in (Any, inspect.Parameter.empty):
        return True
    if kind not in TYPE_NAMES:  # a type that YAML cannot contain, such as Tensor; text is valid for a Path
        return not isinstance(kind, type) or (issubclass(kind, os.PathLike) and isinstance(value, str))
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind) and value == value  # false for NaN


def _describe_types(kinds: tuple[Any, ...]) -> str:
    """Return a description such as `a number or null` of types, without types that YAML cannot contain (Tensor)."""
    plain = [kind for kind in kinds if kind in TYPE_NAMES or typing.get_origin(kind)]
    return " or ".join(dict.fromkeys(_describe_type(kind) for kind in plain or kinds))


def _describe_type(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        values = list(map(str, typing.get_args(kind)))
        return values[0] if len(values) == 1 else "one of " + ", ".join(values)
    if origin in (list, tuple):
        members = {int: " of integers", float: " of numbers", str: " of texts"}
        return "a list" + members.get(typing.get_args(kind)[0], "")
    return TYPE_NAMES.get(kind, getattr(kind, "__name__", str(kind)))
