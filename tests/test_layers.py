"""The dependency rule and the one-door rule of the house, read off the import statements."""

import ast

import pytest

LAYERS = {
    "types": 0, "noise": 0.3, "parts": 0.3, "principal": 0.5,  # helpers of layer 0, which know the nouns
    "faults": 0.5, "files": 0.5, "terminal": 0.5,
    "nets": 1, "objectives": 1, "data": 1, "latent": 1, "metrics": 1, "figures": 1,
    "tensorboard": 1.5, "wandb_keys": 1, "wandb_run": 2.2,  # what loggers get, for the gallery
    "models": 2, "opened": 2.4, "runs": 2.5, "records": 2, "gallery": 2.3, "compose": 2, "processes": 2, "startup": 2,
    "training": 2, "checkpoints": 2, "folders": 2, "overrides": 2, "refusals": 2.1, "options": 2.6, "rehearsal": 2.7,
    "workspaces": 3, "callbacks": 3, "applications": 3, "sweeps": 3, "reports": 3, "choices": 3.5, "summary": 3.5,
    "fitting": 3.7,
    "train": 4, "apply": 4, "report": 4, "dashboard": 4,
}  # fmt: skip
DOORS = {
    "hydra": {"compose", "folders", "overrides", "refusals", "runs", "sweeps", "train", "apply", "report", "dashboard"},
    "omegaconf": {"compose", "folders", "overrides", "refusals", "train", "apply", "report", "dashboard"},
    "wandb": {"wandb_run", "dashboard"},
    "wandb_workspaces": {"workspaces", "dashboard"},
    "tensorboard": {"tensorboard"},
    "matplotlib": {"figures"},
    "sklearn": {"latent", "metrics", "data.digits"},
    "torchvision": {"data", "gallery", "figures"},
    "torchmetrics": {"metrics"},
    "jinja2": {"reports"},
    "rich": {"terminal"},
    "skimage": {"metrics"},
    "bm3d": {"metrics"},
    "onnx": {"applications.export"},
    "onnxruntime": {"applications.export"},
    "safetensors": {"applications.export"},
}
LIGHT = {"__future__", "autoencoders"}


def modules(repository):
    for path in sorted((repository / "autoencoders").rglob("*.py")):
        name = ".".join(path.relative_to(repository / "autoencoders").with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(path.read_text())


def walk(tree):
    """Every node that runs: what stands under `if TYPE_CHECKING` serves annotations alone."""
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from walk(child)


def imports(tree):
    for node in walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_go_down_and_never_sideways(repository):
    wrong = []
    for name, tree in modules(repository):
        if name == "__init__":
            continue
        package = name.split(".")[0]
        for target in imports(tree):
            parts = target.split(".")
            if parts[0] != "autoencoders" or len(parts) < 2 or parts[1] not in LAYERS or parts[1] == package:
                continue
            downward = LAYERS[parts[1]] < LAYERS[package]
            if not downward:
                wrong.append(f"{name} imports {target}")
    assert wrong == []


def test_every_module_has_a_layer(repository):
    names = {name.split(".")[0] for name, _ in modules(repository)} - {"__init__"}
    assert names <= set(LAYERS)


@pytest.mark.parametrize("library", DOORS)
def test_one_library_one_door(repository, library):
    outside = [
        f"{name} imports {target}"
        for name, tree in modules(repository)
        for target in imports(tree)
        if target.split(".")[0] == library
        and not any(name == door or name.startswith(door + ".") for door in DOORS[library])
    ]
    assert outside == []


def test_importing_the_package_loads_nothing_else(repository):
    tree = next(tree for name, tree in modules(repository) if name == "__init__")
    assert {target.split(".")[0] for target in imports(tree)} <= LIGHT
