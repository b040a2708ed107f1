"""A checkpoint is found where it lies; the hub is asked only for what can be a hub id.

The hub is a server on this machine that speaks the hub's protocol. Fetching happens in a process of its own,
since huggingface_hub reads its settings once, from the environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mobilevit_deploy.demo import DEMOS
from mobilevit_deploy.errors import CheckpointError, HubError
from mobilevit_deploy.model import MobileViTConfig, MobileViTForImageClassification
from mobilevit_deploy.model.checkpoint import resolve_checkpoint

RESOLVE = """
import sys
from mobilevit_deploy.errors import HubError
from mobilevit_deploy.model.checkpoint import resolve_checkpoint
try:
    print(resolve_checkpoint(sys.argv[1]))
except HubError as error:
    sys.exit(f"HubError {error}")
"""

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(ThreadingHTTPServer):
    """Repositories by id, each a map from file name to content; remembers what was downloaded."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.downloads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._describe("/".join(parts[2:4]), as_tree="tree" in parts)
        else:
            self._send_file("/".join(parts[:2]), parts[-1])

    def _describe(self, hub_id: str, *, as_tree: bool) -> None:
        if hub_id not in self.server.repositories:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        files = self.server.repositories[hub_id]
        # huggingface_hub 1.x takes the names from the repository's description, 2.x from its tree.
        siblings = [{"rfilename": name} for name in files]
        tree = [
            {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for name, content in files.items()
        ]
        description = tree if as_tree else {"id": hub_id, "sha": COMMIT, "siblings": siblings}
        self._answer(200, json.dumps(description).encode(), {})

    def _send_file(self, hub_id: str, name: str) -> None:
        content = self.server.repositories[hub_id][name]
        etag = hashlib.sha256(content).hexdigest()
        if self.command == "GET":
            self.server.downloads.append(name)
        self._answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    server = FakeHub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def checkpoint(tiny: MobileViTConfig, tmp_path: Path) -> dict[str, bytes]:
    MobileViTForImageClassification(tiny).save_pretrained(tmp_path / "original")
    files = {file.name: file.read_bytes() for file in (tmp_path / "original").iterdir()}
    return {
        **files,
        "preprocessor_config.json": b"{}",
        "README.md": b"# Model card",
        "tf_model.h5": b"unwanted",
    }


class Fetcher:
    """Runs ``resolve_checkpoint`` in a new process, with a hub and a cache of its own."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def __call__(self, hub_id: str, url: str, **environment: str) -> Path:
        result = self._run(hub_id, url, environment)
        assert result.returncode == 0, result.stderr
        return Path(result.stdout.strip())

    def error(self, hub_id: str, url: str, **environment: str) -> str:
        result = self._run(hub_id, url, environment)
        assert result.returncode == 1, result.stdout
        told = [line for line in result.stderr.splitlines() if line.startswith("HubError")]
        assert len(told) == 1, result.stderr
        return told[0]

    def _run(self, hub_id: str, url: str, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
        settings = {
            "HF_ENDPOINT": url,
            "HF_HUB_CACHE": str(self.cache),
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
            **more,
        }
        return subprocess.run(
            [sys.executable, "-c", RESOLVE, hub_id],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def fetch(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "cache")


def test_paths_are_returned_as_they_are(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"0")
    assert resolve_checkpoint(tmp_path) == resolve_checkpoint(str(tmp_path)) == tmp_path
    assert resolve_checkpoint(str(weights)) == weights


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert resolve_checkpoint("~/model") == tmp_path / "model"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "./model",
        "../some/model",
        "/no/such/folder",
        "~/no-such-folder",
        "~nobody-by-that-name/model",
        "mobilevit-xx-small",
        "apple/mobilevit/xx-small",
        "runs/model.safetensors",
        "runs\\model",
        "org/name with blanks",
        Path("apple/mobilevit-xx-small"),
    ],
)
def test_a_mistyped_path_is_not_asked_of_the_hub(source: str | Path) -> None:
    with pytest.raises(CheckpointError, match="There is no folder or file") as caught:
        resolve_checkpoint(source)
    assert not isinstance(caught.value, HubError)


def test_what_is_neither_folder_nor_file_is_refused() -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a file"):
        resolve_checkpoint("/dev/null")


def test_a_path_that_the_system_refuses_is_reported() -> None:
    with pytest.raises(CheckpointError, match="cannot be read: File name too long"):
        resolve_checkpoint("x" * 5000)


def test_a_hub_id_is_fetched_once_and_only_what_is_needed(
    hub: FakeHub, checkpoint: dict[str, bytes], fetch: Fetcher
) -> None:
    hub.repositories["org/tiny"] = checkpoint
    folder = fetch("org/tiny", hub.url)
    MobileViTForImageClassification.from_pretrained(folder)
    wanted = ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(hub.downloads) == sorted(file.name for file in folder.iterdir()) == wanted
    assert fetch("org/tiny", hub.url) == folder
    assert len(hub.downloads) == 3


def test_an_older_repository_gives_its_pickle(
    hub: FakeHub, checkpoint: dict[str, bytes], fetch: Fetcher
) -> None:
    hub.repositories["org/old"] = {"config.json": checkpoint["config.json"], "pytorch_model.bin": b"weights"}
    assert (fetch("org/old", hub.url) / "pytorch_model.bin").read_bytes() == b"weights"


def test_a_fetched_model_needs_no_network_afterwards(
    hub: FakeHub, checkpoint: dict[str, bytes], fetch: Fetcher
) -> None:
    hub.repositories["org/tiny"] = checkpoint
    folder = fetch("org/tiny", hub.url)
    assert fetch("org/tiny", unused_url(), HF_HUB_OFFLINE="1") == folder
    assert fetch("org/tiny", unused_url()) == folder


def test_an_unknown_id_says_to_check_the_spelling(hub: FakeHub, fetch: Fetcher) -> None:
    message = fetch.error("org/missing", hub.url)
    assert "has no model 'org/missing'" in message
    assert "Check the spelling" in message


def test_an_impossible_id_is_refused(hub: FakeHub, fetch: Fetcher) -> None:
    assert "'org/a--b' is no path here and no hub id" in fetch.error("org/a--b", hub.url)


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_out_of_reach_says_how_to_go_on_without_it(fetch: Fetcher, offline: str) -> None:
    message = fetch.error("org/tiny", unused_url(), HF_HUB_OFFLINE=offline)
    assert "the hub cannot be reached" in message
    assert "copy the model's folder from elsewhere and pass its path" in message


def test_a_hub_that_fails_is_reported(hub: FakeHub, fetch: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handler: _Handler, hub_id: str, *, as_tree: bool) -> None:
        handler._answer(400, b"{}", {})

    monkeypatch.setattr(_Handler, "_describe", fail)
    assert "'org/tiny'" in fetch.error("org/tiny", hub.url)


def unused_url() -> str:
    """An address on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("source", DEMOS)
def test_bundled_models_have_short_names(source: str) -> None:
    assert resolve_checkpoint(source).name == DEMOS[source]
