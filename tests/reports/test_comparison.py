"""Differences between configs: each choice once, in short form, and without paths."""

from autoencoders.config.diff import diff_configs, group_aliases
from autoencoders.reports.comparison import describe_settings, differences_table, find_differences
from autoencoders.reports.discovery import find_runs


def test_a_choice_with_two_keys_is_one_difference(make_run):
    folders = [
        make_run(
            f"{i}", config={"beta.value": beta, "model.beta_schedule.value": beta, "folder": f"f{i}", "name": f"n{i}"}
        )
        for i, beta in enumerate((0.5, 1, 4))
    ]
    runs = find_runs(folders)
    assert find_differences(runs) == {("beta.value", "model.beta_schedule.value"): ["0.5", "1", "4"]}
    assert describe_settings(runs) == ["beta=0.5", "beta=1", "beta=4"]


def test_equal_values_are_separate_differences_and_overridden_settings_come_first(make_run):
    folders = [
        make_run(f"{i}", config={"data.batch_size": i, "trainer.max_epochs": i, "model.l1": i, "seed": i},
                 overrides=[f"trainer.max_epochs={i}"])
        for i in (1, 2)
    ]  # fmt: skip
    runs = find_runs(folders)
    assert set(find_differences(runs)) == {("data.batch_size",), ("trainer.max_epochs",), ("model.l1",), ("seed",)}
    assert describe_settings(runs)[0].startswith("trainer.max_epochs=1, ")


def test_models_differ_by_name_and_settings_of_one_model_only_are_left_out(make_run):
    cvae = {"model._target_": "autoencoders.models.cvae.CVAE", "model.name": "cvae", "model.join": "both"}
    runs = find_runs([make_run("a"), make_run("b", config=cvae)])
    groups = find_differences(runs)
    assert groups == {("model",): ["vae", "cvae"], ("model.join",): ["\u2013", "both"]}
    assert describe_settings(runs) == ["model=vae", "model=cvae"]
    table = differences_table(groups, ["a", "b"], "title")
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["vae", "cvae"], ["\u2013", "both"]]


def test_a_node_and_null_are_one_difference():
    node = {"_target_": "autoencoders.nets.mlp.Encoder", "widths": [3, 2], "norm": "batch"}
    groups = group_aliases(diff_configs([{"net": {"encoder": node}}, {"net": {"encoder": None}}]))
    assert groups == {("net.encoder",): ["Encoder", "null"]}


def test_paths_and_passive_callbacks_are_not_compared(make_run):
    drawing = {"_target_": "autoencoders.callbacks.samples.Samples", "every_n_epochs": 5}
    stopping = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "patience": 5}
    other = {"data.root": "/elsewhere", "callbacks": {"samples": drawing, "stop": stopping}}
    runs = find_runs([make_run("a", config={"callbacks": {}}), make_run("b", config=other)])
    assert find_differences(runs) == {("callbacks.stop",): ["\u2013", "EarlyStopping"]}


def test_a_run_without_a_configuration_has_no_values(make_run):
    folders = [make_run("a"), make_run("b", config={"seed": 1}), make_run("c")]
    (folders[2] / "config.yaml").unlink()
    assert find_differences(find_runs(folders)) == {("seed",): ["0", "1", "\u2013"]}
