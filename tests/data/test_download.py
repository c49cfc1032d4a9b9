"""Tests of incomplete, wrong and refused downloads, and of archives with paths outside their folder."""

import gzip
import hashlib
import io
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torchvision
from data_samples import write_idx

from autoencoders.data import download, lfw
from autoencoders.data.download import fetch, resolve_root, unpack
from autoencoders.data.lfw import LFWDataModule
from autoencoders.data.mnist import MNISTDataModule
from autoencoders.types import UserError


@pytest.fixture
def server():
    """An HTTP server that sends `files[path]`.

    If `faults[path]` is "cut", it sends only half of the file; with "stall", it then also keeps the connection open.
    `requests` lists the requested paths.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            http.requests.append(self.path)
            content, fault = http.files.get(self.path), http.faults.get(self.path)
            if content is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if fault else content)
            if fault == "stall":
                self.wfile.flush()
                http.stop.wait(10)
            return None

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.files, http.faults, http.requests, http.stop = {}, {}, [], threading.Event()
    http.address = f"http://127.0.0.1:{http.server_port}/"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield http
    http.stop.set()
    http.shutdown()
    http.server_close()


def checksum(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


CONTENT = bytes(range(256)) * 40


def test_a_file_is_downloaded(server, tmp_path):
    server.files["/x"] = CONTENT
    fetch([server.address + "x"], tmp_path / "deep/x", checksum(CONTENT))
    assert [p.read_bytes() for p in (tmp_path / "deep").iterdir()] == [CONTENT]


@pytest.mark.parametrize(
    ("fault", "content", "message"),
    [
        ("cut", CONTENT, r"the sha256 checksum must be [0-9a-f]{64}, got [0-9a-f]{64} after 5,120 of 10,240 bytes"),
        ("stall", CONTENT, "timed out"),
        (None, b"something else", "the sha256 checksum must be .* after 14 bytes"),
        (None, None, "Not Found"),
    ],
)
def test_a_failed_download_leaves_no_file_and_the_next_mirror_is_tried(
    server, tmp_path, monkeypatch, fault, content, message
):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.files |= {"/bad": content, "/good": CONTENT}
    server.faults["/bad"] = fault
    with pytest.raises(UserError, match=rf"{server.address}bad: .*{message}"):
        fetch([server.address + "bad"], tmp_path / "x", checksum(CONTENT))
    assert list(tmp_path.iterdir()) == []
    fetch([server.address + "bad", server.address + "good"], tmp_path / "x", checksum(CONTENT))
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_missing_server_is_reported_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"^http://127\.0\.0\.1:9/x: Connection refused$"):
        fetch(["http://127.0.0.1:9/x"], tmp_path / "x", checksum(b""))


def test_a_target_that_cannot_be_written_names_the_option(server, tmp_path):
    server.files["/x"] = CONTENT
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be used \(.*Set data\.root \(or AUTOENCODERS_DATA\) to a folder"):
        fetch([server.address + "x"], tmp_path / "file/x", checksum(CONTENT))


def test_the_root_is_the_option_or_the_environment_variable_or_the_user_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOENCODERS_DATA", str(tmp_path / "env"))
    assert resolve_root(str(tmp_path)) == tmp_path
    assert resolve_root(None) == tmp_path / "env"
    monkeypatch.delenv("AUTOENCODERS_DATA")
    assert resolve_root(None).name == "autoencoders"


# MNIST --------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """Serve a small random MNIST and replace the official checksums and mirrors. Return an empty data root."""
    write_idx(tmp_path / "published", compressed=True)
    files = {file.name: file.read_bytes() for file in (tmp_path / "published").iterdir()}
    server.files |= {f"/{name}": content for name, content in files.items()}
    resources = [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [server.address])
    return tmp_path / "root"


def mnist(root):
    data = MNISTDataModule(name="mnist", root=str(root), batch_size=8, validation=0.1)
    data.prepare_data()
    data.setup()
    return data


def test_an_interrupted_download_is_repeated(server, published):
    last = list(server.files)[-1]
    server.faults[last] = "cut"
    with pytest.raises(
        UserError, match=r"needs the four MNIST files in .*MNIST/raw, but .* is missing and .*AUTOENCODERS_DATA"
    ):
        mnist(published)
    server.faults.clear()
    server.requests.clear()
    assert mnist(published).shape == (1, 28, 28)
    assert server.requests == [last]  # the other files are complete
    server.requests.clear()
    mnist(published)
    assert server.requests == []


def test_a_damaged_file_is_reported_and_unpacked_again(server, published, capsys):
    mnist(published)
    file = published / "MNIST/raw/t10k-images-idx3-ubyte"
    complete = file.read_bytes()
    for content, reason in (
        (complete[:1000], "has 1,000 bytes, expected 47,056"),
        (b"x" * 9, "is not an idx file"),
    ):
        file.write_bytes(content)
        mnist(published)
        assert file.read_bytes() == complete
        assert capsys.readouterr().err == f"autoencoders: {file} is replaced because it is damaged (it {reason}).\n"
    file.unlink()
    archive = file.with_suffix(".gz")
    archive.write_bytes(gzip.compress(b"another"))  # an archive with a wrong checksum
    mnist(published)
    assert file.read_bytes() == complete


# Archives -----------------------------------------------------------------------------------------------------


def tar(path, *members, folder="lfw"):
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, target in [(f"{folder}/A/A_0001.jpg", tarfile.REGTYPE, ""), *members]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, 4 * (kind == tarfile.REGTYPE)
            archive.addfile(info, io.BytesIO(b"evil"))
    return path


@pytest.mark.parametrize(
    "members",
    [
        [("../../evil.txt", tarfile.REGTYPE, "")],
        [("lfw/out", tarfile.SYMTYPE, "../../.."), ("lfw/out/evil.txt", tarfile.REGTYPE, "")],
        [("lfw/out", tarfile.SYMTYPE, "/etc")],
        [("lfw/out", tarfile.LNKTYPE, "../../../secret")],
        [("lfw/device", tarfile.CHRTYPE, "")],
    ],
)
def test_an_archive_with_members_outside_its_folder_is_rejected(tmp_path, members):
    (tmp_path / "secret").touch()
    root = tmp_path / "a/lfw"
    root.mkdir(parents=True)
    tar(root / "lfw.tgz", *members)
    with pytest.raises(UserError, match=r"lfw\.tgz cannot be unpacked .*Remove the archive and download it again"):
        LFWDataModule(name="lfw", root=str(tmp_path / "a")).prepare_data()
    assert [p.name for p in root.iterdir()] == ["lfw.tgz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "secret"]


def test_a_member_with_an_absolute_path_is_not_written_there(tmp_path):
    evil = tmp_path / "evil.txt"
    archive = tar(tmp_path / "x.tgz", (str(evil), tarfile.REGTYPE, ""))
    unpack(archive, tmp_path, ["lfw"])
    assert not evil.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lfw", "x.tgz"]


def test_a_truncated_archive_leaves_no_folder(tmp_path):
    archive = tar(tmp_path / "x.tgz", *((f"lfw/B/B_{i:04d}.jpg", tarfile.REGTYPE, "") for i in range(300)))
    archive.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(archive, tmp_path, ["lfw"])
    tar(archive, folder="other")
    with pytest.raises(UserError, match=r"must contain the folder lfw or faces, but does not\. Remove the archive"):
        unpack(archive, tmp_path, ["lfw", "faces"])
    assert [p.name for p in tmp_path.iterdir()] == ["x.tgz"]


def test_lfw_is_downloaded_checked_and_unpacked(server, tmp_path, monkeypatch):
    content = tar(tmp_path / "published.tgz", folder="lfw_funneled").read_bytes()
    monkeypatch.setattr(lfw, "DOWNLOAD", server.address + "lfw")
    monkeypatch.setattr(lfw, "SHA256", hashlib.sha256(content).hexdigest())
    data = LFWDataModule(name="lfw", root=str(tmp_path / "root"))
    server.files["/lfw"], server.faults["/lfw"] = content, "cut"
    with pytest.raises(UserError, match=r"needs photos, but .*lfw-deepfunneled.*checksum must be.*AUTOENCODERS_DATA"):
        data.prepare_data()
    assert os.listdir(data.folder) == []
    server.faults.clear()
    data.prepare_data()
    assert sorted(os.listdir(data.folder)) == ["lfw-funneled.tgz", "lfw_funneled"]
