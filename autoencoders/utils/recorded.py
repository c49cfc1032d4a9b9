"""Objects that record the arguments of their constructor, so that a checkpoint describes how to build them again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Self


class ConstructorCall(NamedTuple):
    """A recorded call of a constructor.

    Attributes:
        target: path of the class, such as `autoencoders.models.vae.VAE`.
        arguments: argument name -> value, made of numbers, texts, lists, dicts and config nodes.
        omitted: names of the arguments that have no such value, such as functions without a name.
    """

    target: str
    arguments: dict[str, Any]
    omitted: tuple[str, ...] = ()

    @property
    def node(self) -> dict[str, Any]:
        """Config node from which an equal object is built. Omitted arguments are missing."""
        return {"_target_": self.target, **self.arguments}


class Recorded:
    """Base class of objects that record the arguments of their constructor.

    Attributes:
        call: the recorded call of the constructor.
    """

    call: ConstructorCall
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the arguments of `__init__` in help texts, instead of those of `__new__`."""
        super().__init_subclass__(**kwargs)
        signature = inspect.signature(cls.__init__)
        cls.__signature__ = signature.replace(
            parameters=list(signature.parameters.values())[1:], return_annotation=inspect.Signature.empty
        )

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object and record the arguments, which `__init__` receives next."""
        created = super().__new__(cls)
        created.__dict__["call"] = record_call(cls, args, kwargs)  # torch modules accept attributes after __init__ only
        return created


def record_call(kind: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ConstructorCall:
    """Record a call of a constructor with positional and keyword arguments."""
    target = f"{kind.__module__}.{kind.__qualname__}"
    names = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]  # type: ignore[misc]
    values = {**dict(zip(names, args, strict=False)), **kwargs}
    arguments: dict[str, Any] = {}
    omitted = []
    for name, value in values.items():
        try:
            arguments[name] = to_plain(value)
        except TypeError:
            omitted.append(name)
    return ConstructorCall(target, arguments, tuple(omitted))


def to_plain(value: Any) -> Any:
    """Return a value as numbers, texts, lists, dicts and config nodes.

    Raises:
        TypeError: if the value has no such form.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Recorded):
        if value.call.omitted:
            raise TypeError(f"arguments of {value.call.target} were not recorded: {', '.join(value.call.omitted)}")
        return value.call.node
    if isinstance(value, Mapping):
        return {str(key): to_plain(child) for key, child in value.items()}
    if type(value) in (list, tuple):
        return [to_plain(child) for child in value]
    if isinstance(value, partial) and not value.args:
        return {**to_plain(value.func), **{name: to_plain(child) for name, child in value.keywords.items()}}
    if isinstance(value, type):
        return {"_target_": f"{value.__module__}.{value.__qualname__}", "_partial_": True}
    raise TypeError(f"{type(value).__name__} has no plain form")
