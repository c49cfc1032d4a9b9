"""The package uses only public names of other libraries."""

import ast
import importlib
import inspect
import textwrap

import pytest

from autoencoders.types import UserError

NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make"}
"""Public methods of named tuples."""
DOCUMENTED = {"os._exit"}
"""Public functions whose name starts with an underscore."""
LIBRARIES = ("lightning", "hydra", "omegaconf", "torch", "torchvision", "torchmetrics", "wandb", "wandb_workspaces",
             "tensorboard", "matplotlib", "rich", "sklearn", "scipy", "pandas", "numpy", "PIL", "jinja2")  # fmt: skip


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name not in NAMED_TUPLE and name != "_"


def own_names(tree):
    """Return the private names that a module defines: functions, classes, variables and attributes."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Store):
            itself = isinstance(node, ast.Name) or ast.unparse(node.value) in ("self", "cls")
            names |= {node.id if isinstance(node, ast.Name) else node.attr} if itself else set()
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return names


def private_uses(source, known=frozenset()):
    """Return the private names that a module imports from libraries, or uses without defining them.

    Args:
        source: text of the module.
        known: private names that other modules define, such as those of a base class.
    """
    tree, found = ast.parse(source), []
    defined = own_names(tree) | known
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", None) or ""
            paths = [f"{module}.{alias.name}" if module else alias.name for alias in node.names]
            found += [p for p in paths if p.startswith(LIBRARIES) and any(is_private(n) for n in p.split("."))]
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            on_itself = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            documented = ast.unparse(node) in DOCUMENTED
            if not documented and node.attr not in (defined if on_itself else own_names(tree)):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            names = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            found += [ast.unparse(node) for name in names if is_private(name)]
    return found


def inherited_names(kind):
    """Return the private attributes that the library classes among the bases of a class set on themselves or define."""
    bases = [base for base in kind.__mro__[1:] if base.__module__.split(".")[0] in LIBRARIES]
    names = {name for base in bases for name in vars(base)}
    for base in bases:
        if base.__module__.endswith("._C"):  # written in C++, without source
            continue
        names |= own_names(ast.parse(textwrap.dedent(inspect.getsource(base))))
    return {name for name in names if is_private(name)}


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("from hydra._internal import utils", ["hydra._internal.utils"]),
        ("import torch._C", ["torch._C"]),
        ("trainer._results.x = 1", ["trainer._results"]),
        ("self._results", ["self._results"]),
        ("getattr(trainer, '_results')", ["getattr(trainer, '_results')"]),
        ("batch._replace(x=1)\nself._x = 1\nother._x\n_ = a.__class__", []),
    ],
)
def test_private_uses_are_found(source, uses):
    assert private_uses(source) == uses


def test_no_module_uses_private_names_of_libraries(repository):
    files = {str(file.relative_to(repository)): file.read_text() for file in repository.glob("autoencoders/**/*.py")}
    known = frozenset(name for source in files.values() for name in own_names(ast.parse(source)))
    found = {file: private_uses(source, known) for file, source in files.items()}
    assert {file: uses for file, uses in found.items() if uses} == {}


@pytest.mark.slow
def test_no_class_shares_a_private_attribute_with_a_base_class_of_a_library(repository):
    for file in sorted(repository.glob("autoencoders/**/*.py")):
        name = ".".join(file.relative_to(repository).with_suffix("").parts).removesuffix(".__init__")
        try:
            module = importlib.import_module(name)
        except (ImportError, UserError):  # an extra that is not installed
            continue
        used = {n.attr for n in ast.walk(ast.parse(file.read_text()))
                if isinstance(n, ast.Attribute) and ast.unparse(n.value) in ("self", "cls")}  # fmt: skip
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == name:
                assert not used & inherited_names(kind), kind
