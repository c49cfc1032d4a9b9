"""Downloads that are cut short, of something else, or refused; archives that reach outside."""

import gzip
import hashlib
import io
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torchvision
from test_datamodule import write_idx

from autoencoders.data import download, lfw
from autoencoders.data.download import fetch, unpack
from autoencoders.data.lfw import LFWDataModule
from autoencoders.data.mnist import MNISTDataModule
from autoencoders.types import UserError


@pytest.fixture
def server():
    """`server.files[path] = content`, `server.how[path] = "cut" | "stall"`; `server.asked`: paths asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            served.asked.append(self.path)
            content, how = served.files.get(self.path), served.how.get(self.path)
            if content is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if how else content)
            if how == "stall":
                self.wfile.flush()
                served.over.wait(10)
            return None

        def log_message(self, *_):
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.files, served.how, served.asked, served.over = {}, {}, [], threading.Event()
    served.address = f"http://127.0.0.1:{served.server_port}/"
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    served.over.set()
    served.shutdown()
    served.server_close()


def checksum(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


CONTENT = bytes(range(256)) * 40


def test_a_file_arrives_whole(server, tmp_path):
    server.files["/x"] = CONTENT
    fetch([server.address + "x"], tmp_path / "deep/x", checksum(CONTENT))
    assert [p.read_bytes() for p in (tmp_path / "deep").iterdir()] == [CONTENT]


@pytest.mark.parametrize(
    ("how", "content", "told"),
    [
        ("cut", CONTENT, r"5,120 of 10,240 bytes came, with sha256 [0-9a-f]{64}, and [0-9a-f]{64} was expected"),
        ("stall", CONTENT, "timed out"),
        (None, b"something else", "14 bytes came, with sha256"),
        (None, None, "Not Found"),
    ],
)
def test_what_is_not_as_expected_leaves_nothing_and_a_mirror_is_tried(
    server, tmp_path, monkeypatch, how, content, told
):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.files |= {"/bad": content, "/good": CONTENT}
    server.how["/bad"] = how
    with pytest.raises(UserError, match=rf"{server.address}bad: .*{told}"):
        fetch([server.address + "bad"], tmp_path / "x", checksum(CONTENT))
    assert list(tmp_path.iterdir()) == []
    fetch([server.address + "bad", server.address + "good"], tmp_path / "x", checksum(CONTENT))
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_no_server_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"^http://127\.0\.0\.1:9/x: Connection refused$"):
        fetch(["http://127.0.0.1:9/x"], tmp_path / "x", checksum(b""))


def test_a_download_into_a_place_that_refuses_names_the_option(server, tmp_path):
    server.files["/x"] = CONTENT
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be used \(.*with data\.root \(or AUTOENCODERS_DATA\)"):
        fetch([server.address + "x"], tmp_path / "file/x", checksum(CONTENT))


# MNIST --------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """A made MNIST on the server, and its checksums where the real ones are."""
    write_idx(tmp_path / "published", compressed=True)
    files = {file.name: file.read_bytes() for file in (tmp_path / "published").iterdir()}
    server.files |= {f"/{name}": content for name, content in files.items()}
    resources = [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [server.address])
    return tmp_path / "root"


def mnist(root):
    data = MNISTDataModule(name="mnist", root=str(root), batch_size=8)
    data.prepare_data()
    data.setup()
    return data


def test_an_interrupted_download_is_never_taken_for_a_good_one(server, published):
    last = list(server.files)[-1]
    server.how[last] = "cut"
    with pytest.raises(UserError, match=r"needs the MNIST files in .*MNIST/raw; .* is missing, .*AUTOENCODERS_DATA"):
        mnist(published)
    server.how.clear()
    server.asked.clear()
    assert mnist(published).shape == (1, 28, 28)
    assert server.asked == [last]  # the others were whole
    server.asked.clear()
    mnist(published)
    assert server.asked == []


def test_a_file_that_was_unpacked_half_is_named_and_made_again(server, published, capsys):
    mnist(published)
    file = published / "MNIST/raw/t10k-images-idx3-ubyte"
    whole = file.read_bytes()
    for content, told in ((whole[:1000], "has 1,000 bytes where 47,056 were expected"), (b"x" * 9, "is no idx file")):
        file.write_bytes(content)
        mnist(published)
        assert file.read_bytes() == whole
        assert capsys.readouterr().err == f"autoencoders: {file} is damaged ({told}), and is fetched again.\n"
    file.unlink()
    archive = file.with_suffix(".gz")
    archive.write_bytes(gzip.compress(b"another"))  # of a wrong checksum
    mnist(published)
    assert file.read_bytes() == whole


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
def test_an_archive_that_reaches_outside_is_refused_and_leaves_nothing(tmp_path, members):
    (tmp_path / "secret").touch()
    root = tmp_path / "a/lfw"
    root.mkdir(parents=True)
    tar(root / "lfw.tgz", *members)
    with pytest.raises(UserError, match=r"lfw\.tgz cannot be unpacked .*Remove it and fetch it again"):
        LFWDataModule(name="lfw", root=str(tmp_path / "a")).prepare_data()
    assert [p.name for p in root.iterdir()] == ["lfw.tgz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "secret"]


def test_an_absolute_path_lands_nowhere(tmp_path):
    evil = tmp_path / "evil.txt"
    archive = tar(tmp_path / "x.tgz", (str(evil), tarfile.REGTYPE, ""))
    unpack(archive, tmp_path, ["lfw"])
    assert not evil.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lfw", "x.tgz"]


def test_half_an_archive_leaves_no_half_folder(tmp_path):
    archive = tar(tmp_path / "x.tgz", *((f"lfw/B/B_{i:04d}.jpg", tarfile.REGTYPE, "") for i in range(300)))
    archive.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(archive, tmp_path, ["lfw"])
    tar(archive, folder="other")
    with pytest.raises(UserError, match=r"holds no folder lfw or faces\. Remove it"):
        unpack(archive, tmp_path, ["lfw", "faces"])
    assert [p.name for p in tmp_path.iterdir()] == ["x.tgz"]


def test_lfw_is_downloaded_checked_and_unpacked(server, tmp_path, monkeypatch):
    content = tar(tmp_path / "served.tgz", folder="lfw_funneled").read_bytes()
    monkeypatch.setattr(lfw, "DOWNLOAD", server.address + "lfw")
    monkeypatch.setattr(lfw, "SHA256", hashlib.sha256(content).hexdigest())
    data = LFWDataModule(name="lfw", root=str(tmp_path / "root"))
    server.files["/lfw"], server.how["/lfw"] = content, "cut"
    with pytest.raises(UserError, match=r"needs the photos in .*lfw-deepfunneled.*bytes came.*AUTOENCODERS_DATA"):
        data.prepare_data()
    assert os.listdir(data.folder) == []
    server.how.clear()
    data.prepare_data()
    assert sorted(os.listdir(data.folder)) == ["lfw-funneled.tgz", "lfw_funneled"]
