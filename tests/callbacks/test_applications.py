from types import SimpleNamespace

from autoencoders.callbacks import applications
from autoencoders.types import ApplicationResult


def test_who_watches_a_training_asks_about_validation(monkeypatch):
    asked = []

    def application(run, *, split="test"):
        asked.append(split)
        return ApplicationResult()

    monkeypatch.setattr(applications.Run, "from_trainer", lambda trainer, model: None)
    writer = SimpleNamespace(save_result=lambda *words: None)
    applications.Applications({"one": application}).draw(SimpleNamespace(global_step=1), None, writer)
    assert asked == ["val"]
