"""What an installed Night School holds: the wheel is built and run from, away from the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("agent", "memory", "skills", "sandbox", "tui", "benchmarks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [found] = folder.glob("*.whl")
    return found


def files_of_the_rooms() -> set[str]:
    """What the rooms hold in the checkout."""
    return {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_the_wheel_holds_the_rooms_and_the_settings(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert archive.read("agent/config.toml") == (ROOT / "config.toml").read_bytes()
    assert inside == files_of_the_rooms() | {"agent/config.toml"}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        by_name = {name.partition(".dist-info/")[2]: name for name in archive.namelist()}
        about = message_from_bytes(archive.read(by_name["METADATA"]))
        programs = archive.read(by_name["entry_points.txt"]).decode()
        licence = archive.read(by_name["licenses/LICENSE"])
    assert programs.split() == ["[console_scripts]", "nightschool", "=", "tui.cli.entry:main"]
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert (about["License-Expression"], about["Requires-Python"]) == ("MIT", ">=3.11")
    assert about["Version"] == project["version"]


def test_an_installed_one_knows_its_settings_models_and_look(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import tui.app\n"
        "from tui.cli.main import nightschool\n"
        "assert (Path(tui.app.__file__).parent / tui.app.NightSchoolApp.CSS_PATH).is_file()\n"
        "nightschool(['config', 'show', '--json'], standalone_mode=False)\n"
        "nightschool(['config', 'set', 'model.context_tokens', '4096'], standalone_mode=False)\n"
        "nightschool(['model', 'list', '--json'], standalone_mode=False)\n"
        "from benchmarks.tasks import run_tasks\n"
        "import agent, sandbox\n"
        "print(agent.__file__, sandbox.__file__)\n"
    )
    home = tmp_path / "home"
    own = {"PYTHONPATH": str(installed), "NIGHTSCHOOL_HOME": str(home)}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, **own, "NIGHTSCHOOL_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    *rows, places = ran.stdout.splitlines()
    assert all(place.startswith(str(installed)) for place in places.split())
    found = [json.loads(row) for row in rows if row.startswith("{")]
    assert {"key": "model.name", "value": "auto", "default": "auto"} in found
    assert "qwen2.5-coder-0.5b-instruct" in {row.get("name") for row in found}
    # the home's copy keeps the comments of the shipped file
    assert "# longest prompt plus answer" in (home / "config.toml").read_text(encoding="utf-8")


def test_the_lock_pins_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {_plain(name): version for name, version in pins.items()}
    assert [name for name in asked if _plain(re.split(r"[<>=;\s\[]", name)[0]) not in pinned] == []
    # a build tag would tie the lock to one index and one kind of machine
    assert pinned["torch"] == "2.13.0"
    assert [name for name, version in pinned.items() if "+" in version] == []


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
