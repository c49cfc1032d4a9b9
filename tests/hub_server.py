"""A server on this machine that speaks the part of the hub's API that the client uses to send and fetch models.

Repositories are kept in memory: name -> list of commits, each path -> bytes. As the hub does, the server requests text
files within the commit, and weights and networks as large files (Git LFS), which the client sends to another address
before the commit, and reads from there.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = (".safetensors", ".onnx")
"""Endings of the files that are sent and read as large files."""


class HubServer:
    """Server with its address and its repositories, for a `with` block."""

    def __init__(self):
        self.repositories, self.requests, self.private = {}, [], set()
        self.objects = {}  # SHA-256 digest -> content of a large file
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self, "GET")

            def do_HEAD(self):
                owner.answer(self, "HEAD")

            def do_POST(self):
                owner.answer(self, "POST")

            def do_PUT(self):
                owner.answer(self, "PUT")

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.storage = f"http://localhost:{self.server.server_port}"  # another host, as the storage of the hub

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    def files(self, name):
        """Return the files of the newest commit: path -> bytes."""
        return self.repositories[name][-1]

    def sha(self, name, number=-1):
        """Return the identifier of a commit."""
        commits = self.repositories[name]
        return hashlib.sha1(f"{name} {number % len(commits)}".encode()).hexdigest()

    def answer(self, request, method):
        path = request.path.partition("?")[0]
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.requests.append((method, path, request.headers.get("Authorization")))
        for pattern, function in (
            (r"/api/repos/create", self.create),
            (r"/api/validate-yaml", self.validate),
            (r"/api/models/([^/]+/[^/]+)/preupload/main", self.preupload),
            (r"/api/models/([^/]+/[^/]+)/commit/main", self.commit),
            (r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", self.info),
            (r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", self.tree),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self.batch),
            (r"/objects/(\w+)", self.object),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.file),
        ):
            if match := re.fullmatch(pattern, path):
                function(request, body, *match.groups())
                return
        self.send(request, 404, {"error": "Not Found"})

    def send(self, request, status, content, headers=()):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        request.send_response(status)
        for key, value in {"Content-Length": str(len(raw)), **dict(headers)}.items():
            request.send_header(key, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(raw)

    def missing(self, request, name):
        self.send(request, 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def create(self, request, body):
        options = json.loads(body)
        name = f"{options.get('organization') or 'user'}/{options['name']}"
        if request.headers.get("Authorization") != "Bearer hf_good":
            self.send(request, 401, {"error": "Invalid username or password."})
            return
        status = 409 if name in self.repositories else 200
        self.repositories.setdefault(name, [])
        if options.get("private") or options.get("visibility") == "private":
            self.private.add(name)
        self.send(request, status, {"url": f"{self.address}/{name}", "name": name})

    def validate(self, request, body):
        self.send(request, 200, {"errors": [], "warnings": []})

    def preupload(self, request, body, name):
        files = [{"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                  "shouldIgnore": False, "oid": None} for file in json.loads(body)["files"]]  # fmt: skip
        self.send(request, 200, {"files": files})

    def batch(self, request, body, name):
        asked = json.loads(body)
        assert asked["operation"] == "upload"
        objects = [{"oid": file["oid"], "size": file["size"],
                    "actions": {"upload": {"href": f"{self.storage}/objects/{file['oid']}"}}}
                   for file in asked["objects"]]  # fmt: skip
        self.send(request, 200, {"transfer": "basic", "objects": objects})

    def object(self, request, body, oid):
        if request.command == "PUT":
            assert hashlib.sha256(body).hexdigest() == oid
            self.objects[oid] = body
        self.send(request, 200, b"" if request.command == "PUT" else self.objects[oid], {"ETag": f'"{oid}"'})

    def commit(self, request, body, name):
        files = dict(self.repositories[name][-1]) if self.repositories[name] else {}
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                assert line["value"]["encoding"] == "base64"
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.objects[line["value"]["oid"]]
        self.repositories[name].append(files)
        sha = self.sha(name)
        url = f"{self.address}/{name}/commit/{sha}"
        self.send(request, 200, {"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def info(self, request, body, name, revision=None):
        if not self.repositories.get(name):
            self.missing(request, name)
            return
        siblings = [{"rfilename": path} for path in self.files(name)]
        self.send(request, 200, {"id": name, "modelId": name, "sha": self.sha(name), "siblings": siblings,
                                 "private": name in self.private, "tags": []})  # fmt: skip

    def tree(self, request, body, name, revision):
        if not self.repositories.get(name):
            self.missing(request, name)
            return
        files = [{"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                 for path, content in self.files(name).items()]  # fmt: skip
        self.send(request, 200, files)

    def file(self, request, body, name, revision, path):
        content = self.files(name).get(path) if self.repositories.get(name) else None
        if content is None:
            self.send(request, 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"X-Repo-Commit": self.sha(name), "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        if path.endswith(LARGE):
            oid = hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{oid}"'}
            self.send(request, 302, b"", headers | linked | {"Location": f"{self.storage}/objects/{oid}"})
            return
        self.send(request, 200, content, headers)
