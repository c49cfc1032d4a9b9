from types import SimpleNamespace

from autoencoders.callbacks import applications
from autoencoders.types import ApplicationResult


def test_applications_during_training_use_the_validation_split(monkeypatch):
    splits = []

    def application(run, *, split="test"):
        splits.append(split)
        return ApplicationResult()

    monkeypatch.setattr(applications, "as_autoencoder", lambda model: model)
    monkeypatch.setattr(applications.Run, "from_trainer", lambda trainer, model: None)
    writer = SimpleNamespace(save_result=lambda *words, repeated: None)
    applications.Applications({"one": application}).draw(SimpleNamespace(global_step=1), None, writer)
    assert splits == ["val"]
