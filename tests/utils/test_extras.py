import pytest

from autoencoders.types import UserError
from autoencoders.utils.extras import import_extra


def test_an_installed_package_is_returned():
    assert import_extra("json.decoder", "export", "application=export").__name__ == "json.decoder"


def test_a_missing_package_is_an_error_with_the_install_command():
    with pytest.raises(UserError, match=r"^application=export needs the package no_such_package\. Install") as e:
        import_extra("no_such_package.part", "export", "application=export")
    assert "-e '.[export]'" in str(e.value)
    assert "'lightning-autoencoders[export]'" in str(e.value)
