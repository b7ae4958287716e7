"""Backups: everything that is kept, at one moment, whole or not at all, and back again to the bit."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import shutil
import stat
import tarfile
import threading
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import agent.backup as backup_module
import agent.restore as restore_module
from agent.backup import Backup, Stopped
from agent.backup_manifest import NAME, BackupManifest, is_safe
from agent.client import RemoteRuntime
from agent.errors import HomeError, UsageError
from agent.home import Home, OwnerLock
from agent.host import Host
from agent.keeping_calls import BackupMade
from agent.restore import restore, verify
from agent.runtime import Runtime
from agent.sleep.folder import NightFolder
from memory.learning import Lesson
from tests.agent.kept_home import KeptHome, make_lesson


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> KeptHome:
    """A home with something of everything. Not to be changed."""
    home = KeptHome(tmp_path_factory.mktemp("backup") / "home")
    home.tell("ep_1", "My cat is called Mina.")
    home.learn(make_lesson("le_1", "ep_1", "The cat is called Mina."))
    home.serve(home.add_adapter("ad_1", ["le_1"]))
    home.home.settings.write_text("[agent]\nmax_steps = 7\n")
    home.rollback.take("evening")
    for name, text in (
        ("outputs/ep_1/call_0", "long output"),
        ("preimages/ep_1/a/b", "before"),
        ("workspaces/ep_1/run.sh", "echo"),
        ("workspaces/ep_1/.env.new", "theirs"),
        ("knowledge/text.json.gz", "text"),
        ("nights/ni_1/begun.json", "{}"),
        ("nights/ni_1/report.json", "{}"),
        ("nights/ni_1/train/checkpoint", "large"),
        ("nights/ni_2/begun.json", "{}"),
        ("sleep_cache/x", "cache"),
        ("logs/host.log", "log"),
        ("adapters/.ad_2.new/half", "half"),
        (".agents/skills/x/SKILL.md", "skill"),
        (".config.toml.new", "half"),
        ("models/x", "weights"),
    ):
        place = home.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (home.root / "workspaces/ep_1/run.sh").chmod(0o755)
    (home.root / "workspaces/ep_1/empty").mkdir()
    (home.root / "workspaces/ep_1/link").symlink_to("/etc/passwd")
    os.mkfifo(home.root / "workspaces/ep_1/pipe")
    Path(os.fsdecode(os.fsencode(home.root / "workspaces/ep_1") + b"/caf\xe9")).write_text("latin")
    home.backup = Backup(home.home, home.journal, home.state, elsewhere=[home.root / "models"])
    return home


@pytest.fixture
def made(home: KeptHome, tmp_path: Path) -> BackupMade:
    return home.backup.write(tmp_path / "kept.tar.gz")


def restored(archive: str | Path, root: Path) -> KeptHome:
    restore(Path(archive), Home(root))
    again = KeptHome(root)
    again.start()
    return again


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parts[len(root.parts)] not in ("lancedb", "lock")
    }


def test_brings_everything_back(home: KeptHome, made: BackupMade, tmp_path: Path) -> None:
    assert made.adapter == "ad_1"
    assert made.left_out == {
        "links": 1,
        "names that are no text": 1,
        "nights under way": 1,
        "sockets, pipes and devices": 1,
    }
    again = restored(made.path, tmp_path / "again")
    assert again.kept() == home.kept()
    assert again.rollback.snapshots() == home.rollback.snapshots()
    assert again.registry.path("ad_1") == again.home.adapters / "ad_1"
    assert again.journal.damage == ()
    shell = again.root / "workspaces/ep_1/run.sh"
    assert (stat.S_IMODE(shell.stat().st_mode), shell.read_text()) == (0o700, "echo")
    assert shell.stat().st_mtime == int((home.root / "workspaces/ep_1/run.sh").stat().st_mtime)
    assert (again.root / "workspaces/ep_1/empty").is_dir()
    found = files(again.root)
    assert {"outputs/ep_1/call_0", "preimages/ep_1/a/b", "knowledge/text.json.gz"} < found.keys()
    assert {"workspaces/ep_1/.env.new", "nights/ni_1/report.json", ".agents/skills/x/SKILL.md"} < found.keys()
    for name in ("nights/ni_2", "nights/ni_1/train", "sleep_cache", "logs", "models", ".config.toml.new"):
        assert not (again.root / name).exists()
    assert again.registry.ids() == ["ad_1"] and not (again.home.adapters / ".ad_2.new").exists()
    # every promise of a home holds on: it goes back, and forgets
    again.rollback.rollback("evening")
    again.forgetting.forget("ep_1")
    assert again.state.active is None


def test_only_the_owner_may_read_it(made: BackupMade, tmp_path: Path) -> None:
    assert stat.S_IMODE(Path(made.path).stat().st_mode) == 0o600
    again = restored(made.path, tmp_path / "again")
    for path in (again.root, *again.root.rglob("*")):
        if "lancedb" not in path.parts and path.name != "lock":
            assert path.stat().st_mode & 0o077 == 0, path


def test_any_tar_reads_it(made: BackupMade) -> None:
    with tarfile.open(made.path, "r:gz") as archive:
        names = archive.getnames()
        manifest = json.load(archive.extractfile(NAME))  # type: ignore[arg-type]
    assert names[-1] == NAME
    assert {file["path"] for file in manifest["files"]} | set(manifest["folders"]) == set(names[:-1])
    assert made.files == len(manifest["files"]) and made.bytes == Path(made.path).stat().st_size
    assert len(names) == len(set(names))


def test_places_where_no_backup_can_be(home: KeptHome, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    for place, said in (
        (home.root / "x", "lies in the home"),
        (home.root / "workspaces" / "x", "lies in the home"),
        (tmp_path / "missing" / "x", "does not exist"),
        (tmp_path, "is a folder"),
        (there, "--replace"),
    ):
        with pytest.raises(UsageError, match=said):
            home.backup.write(place)
    assert there.read_text() == "mine"
    home.backup.write(there, replace=True)
    assert verify(there).adapter == "ad_1"
    assert list(tmp_path.iterdir()) == [there]


class FullDisk(BytesIO):
    """Takes so many bytes and no more."""

    def __init__(self, file: Any, room: int) -> None:
        super().__init__()
        self._file = file
        self._room = room

    def write(self, data: Any) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(28, "No space left on device", "kept.tar.gz.partial")
        written: int = self._file.write(data)
        return written

    def tell(self) -> int:
        return int(self._file.tell())

    def fileno(self) -> int:
        return int(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        super().close()


def test_a_full_disk_leaves_nothing(
    home: KeptHome, made: BackupMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    real = backup_module._private
    for room in [*range(0, made.bytes, made.bytes // 6), made.bytes - 60]:
        monkeypatch.setattr(backup_module, "_private", lambda path, room=room: FullDisk(real(path), room))
        with pytest.raises(HomeError, match=r"no space left on device\. Free some space"):
            home.backup.write(tmp_path / "out" / "kept.tar.gz")
        assert list((tmp_path / "out").iterdir()) == []
        # nor is an older one lost
        with pytest.raises(HomeError, match="no space left"):
            home.backup.write(Path(made.path), replace=True)
        assert verify(Path(made.path)).files
    monkeypatch.setattr(backup_module, "_private", real)
    monkeypatch.setattr(backup_module, "sync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(HomeError, match="Free some space"):
        home.backup.write(tmp_path / "out" / "kept.tar.gz")
    assert list((tmp_path / "out").iterdir()) == []


def test_stopping_leaves_nothing(home: KeptHome, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        home.backup.write(tmp_path / "x", stop=stop)
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_is_written_over(home: KeptHome, tmp_path: Path) -> None:
    left = tmp_path / ".x.partial"
    left.write_text("half")
    left.chmod(0o644)
    home.backup.write(tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_holds_one_moment_while_the_agent_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is copied late belongs to what was journalled by the moment, and nothing later counts."""
    home = KeptHome(tmp_path / "home")
    home.journal._file_bytes = 4000
    stop, made = threading.Event(), []

    def work() -> None:
        parent = None
        number = 0
        while not stop.is_set():
            number += 1
            lesson = f"le_{number:04d}"
            home.append(_kept(make_lesson(lesson, "ep_1")))
            made.append(home.add_adapter(f"ad_{number:04d}", [lesson], parent=parent))
            home.serve(made[-1])
            parent = made[-1].id

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for number in range(3):
            real = backup_module._Writer.folder

            def slow(writer: Any, name: str, _real: Any = real, _count: int = len(made)) -> None:
                # more happens between the moment and the copy
                while len(made) < _count + 2:
                    stop.wait(0.01)
                _real(writer, name)

            with monkeypatch.context() as patch:
                patch.setattr(backup_module._Writer, "folder", slow)
                home.backup.write(tmp_path / str(number))
    finally:
        stop.set()
        worker.join()
    for number in range(3):
        manifest = restore(tmp_path / str(number), Home(tmp_path / f"home{number}"))
        again = KeptHome(tmp_path / f"home{number}")
        assert again.journal.damage == ()
        assert again.state.active == manifest.adapter
        assert again.journal.last_seq < home.journal.last_seq
        if manifest.adapter is not None:
            assert again.registry.get(manifest.adapter).digest == manifest.adapter_digest
            assert again.registry.path(manifest.adapter)
        lessons = set(again.journal.lesson_seqs)
        for snapshot in again.rollback.snapshots():
            assert snapshot.adapter is None or again.registry.path(snapshot.adapter)
            assert all(last <= again.journal.last_seq for _, last in snapshot.history)
        if manifest.adapter is not None:
            assert set(again.registry.get(manifest.adapter).lessons) <= lessons
        again.append(_kept(make_lesson("le_after", "ep_1")))
        again.close()


def _kept(lesson: Lesson) -> Any:
    from agent.events import LessonKept

    return LessonKept(episode_id=lesson.episode_id, lesson=lesson)


def test_nothing_is_taken_away_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = KeptHome(tmp_path / "home")
    home.serve(home.add_adapter("ad_1", ["le_1"]))
    home.rollback.rollback("last")
    home.rollback.take("newest")
    home.pruning._taking_away = home.backup._taking_away
    pruner = threading.Thread(target=lambda: home.pruning.prune(1, None))
    real = backup_module._Writer.folder

    def slow(writer: Any, name: str) -> None:
        if not pruner.ident:
            pruner.start()
            pruner.join(0.3)
        real(writer, name)

    monkeypatch.setattr(backup_module._Writer, "folder", slow)
    home.backup.write(tmp_path / "x")
    pruner.join()
    assert home.registry.ids() == []
    assert "adapters/ad_1/card.json" in {file.path for file in verify(tmp_path / "x").files}


def test_a_file_that_shrinks_is_said(home: KeptHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = home.journal.extent
    monkeypatch.setattr(home.journal, "extent", lambda: [(file, size + 1) for file, size in real()])
    with pytest.raises(HomeError, match=r"events-0000000001\.jsonl became shorter"):
        home.backup.write(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_parts_on_another_disk_come_along(tmp_path: Path) -> None:
    home = KeptHome(tmp_path / "home")
    (tmp_path / "big").mkdir()
    home.home.adapters.symlink_to(tmp_path / "big")
    home.serve(home.add_adapter("ad_1", ["le_1"]))
    home.backup.write(tmp_path / "x")
    assert restored(tmp_path / "x", tmp_path / "again").registry.ids() == ["ad_1"]


# Restoring what is not as it should be


def refused(archive: Path, root: Path, said: str, error: type[Exception] = HomeError) -> None:
    """It is refused with these words, in one line, and nothing is there afterwards."""
    with pytest.raises(error, match=said) as caught:
        restore(archive, Home(root))
    assert "\n" not in str(caught.value)
    assert not root.exists()


def test_every_damage_is_noticed(made: BackupMade, tmp_path: Path) -> None:
    whole = Path(made.path).read_bytes()
    broken, root = tmp_path / "broken", tmp_path / "again"
    for length in [0, 1, 10, 100, *range(1000, len(whole), len(whole) // 12), len(whole) - 9, len(whole) - 1]:
        broken.write_bytes(whole[:length])
        refused(broken, root, "cannot be restored")
    values = random.Random(0)
    for _ in range(25):
        place = values.randrange(20, len(whole))
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        if not unpacks_to(broken, gzip.decompress(whole)):
            refused(broken, root, "cannot be restored")


def unpacks_to(archive: Path, content: bytes) -> bool:
    """Whether a flipped byte stands where deflate leaves bits unused, and so has changed nothing."""
    try:
        return gzip.decompress(archive.read_bytes()) == content
    except (OSError, EOFError, zlib.error):
        return False


def repacked(
    archive: str, target: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]
) -> Path:
    """The same archive with other members, whole as far as gzip and tar go."""
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    with tarfile.open(archive) as read:
        for member in read:
            content = read.extractfile(member)
            members.append((member, content.read() if content else b""))
    change(members)
    with tarfile.open(target, "w:gz") as written:
        for member, data in members:
            member.size = len(data)
            written.addfile(member, BytesIO(data))
    return target


def a_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (a_member("/tmp/owned"), "it holds a file named"),
        (a_member("../owned"), "it holds a file named"),
        (a_member("outputs/../../owned"), "it holds a file named"),
        (a_member("./config.toml"), "it holds a file named"),
        (a_member("lancedb/x"), "it holds a file named"),
        (a_member("lock"), "it holds a file named"),
        (a_member(".restoring/x"), "it holds a file named"),
        (a_member("config.toml"), "it holds a file named"),
        (a_member("x", tarfile.SYMTYPE, "/etc/passwd"), "link or no plain file"),
        (a_member("x", tarfile.LNKTYPE, "config.toml"), "link or no plain file"),
        (a_member("x", tarfile.FIFOTYPE), "link or no plain file"),
        (a_member("x", tarfile.CHRTYPE), "link or no plain file"),
        (a_member("x"), "does not hold the files"),
        (a_member("x", tarfile.DIRTYPE), "does not hold the files"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else None,
)
def test_what_no_backup_holds(made: BackupMade, tmp_path: Path, member: tarfile.TarInfo, said: str) -> None:
    archive = repacked(made.path, tmp_path / "x", lambda members: members.insert(-1, (member, b"")))
    refused(archive, tmp_path / "again", said)
    assert not (tmp_path / "owned").exists() and not Path("/tmp/owned").exists()


def test_what_a_manifest_must_not_say(made: BackupMade, tmp_path: Path) -> None:
    def says(**fields: Any) -> Path:
        def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
            member, content = members.pop()
            members.append((member, json.dumps(json.loads(content) | fields).encode()))

        return repacked(made.path, tmp_path / "x", change)

    refused(says(home_version=2), tmp_path / "again", "newer Night School .* Upgrade")
    refused(says(format=2, files="otherwise"), tmp_path / "again", "newer Night School .* Upgrade")
    refused(says(files=[]), tmp_path / "again", "does not hold the files")
    refused(says(format="1"), tmp_path / "again", "manifest is damaged")
    refused(says(surprise=1), tmp_path / "again", "manifest is damaged")
    archive = repacked(made.path, tmp_path / "x", lambda members: members.append((a_member("late"), b"")))
    refused(archive, tmp_path / "again", "something follows")
    archive = repacked(made.path, tmp_path / "x", lambda members: members.pop() and None)
    refused(archive, tmp_path / "again", "not whole")

    def other_bytes(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[-2] = (members[-2][0], members[-2][1] + b"x")

    refused(repacked(made.path, tmp_path / "x", other_bytes), tmp_path / "again", "is damaged")


def test_what_is_no_backup_at_all(tmp_path: Path) -> None:
    root = tmp_path / "again"
    refused(tmp_path / "missing", root, "no such file", UsageError)
    refused(tmp_path, root, "is a directory", UsageError)
    for content in (b"", b"text\n", gzip.compress(b"text\n"), gzip.compress(b"")):
        (tmp_path / "x").write_bytes(content)
        refused(tmp_path / "x", root, "cannot be restored")


def test_a_home_that_holds_anything_is_refused(made: BackupMade, tmp_path: Path) -> None:
    root = tmp_path / "again"
    Home(root).create()
    (root / "config.toml").write_text("")
    with pytest.raises(UsageError, match=r"not empty \(config\.toml\)"):
        restore(Path(made.path), Home(root))
    assert sorted(path.name for path in root.iterdir()) == ["config.toml", "version"]
    (root / "config.toml").unlink()
    lock = OwnerLock.acquire(Home(root))
    assert lock is not None
    with pytest.raises(HomeError, match=f"owned by process {os.getpid()}"):
        restore(Path(made.path), Home(root))
    lock.release()
    # what a command that only looked at it left is nothing
    assert restored(made.path, root).state.active == "ad_1"
    with pytest.raises(UsageError, match="is a file"):
        restore(Path(made.path), Home(Path(made.path)))


def test_no_room_is_said_before_anything_is_written(
    made: BackupMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(HomeError, match=r"needs .* MB .* are free"):
        restore(Path(made.path), Home(tmp_path / "again"))
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["lock"]


def test_a_disk_that_fills_up_leaves_the_home_empty(
    made: BackupMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = restore_module.write_all, 0

    def full(handle: int, data: bytes) -> None:
        nonlocal count
        count += 1
        if count > 5:
            raise OSError(28, "No space left on device")
        real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(restore_module, "write_all", full)
        with pytest.raises(HomeError, match="Free some space"):
            restore(Path(made.path), Home(tmp_path / "again"))
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["lock"]
    restore(Path(made.path), Home(tmp_path / "again"))


class Crash(BaseException):
    """The end of the process."""


def test_a_crash_keeps_everybody_out_until_it_is_restored_again(
    home: KeptHome, made: BackupMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "again"
    changes = [(Path, "rename"), (Path, "rmdir"), (os, "sync")]
    number = kept_out = 0
    while True:
        left = number
        with monkeypatch.context() as patch:
            for owner, name in changes:
                real = getattr(owner, name)

                def watched(*args: Any, _real: Any = real) -> Any:
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise Crash
                    return _real(*args)

                patch.setattr(owner, name, watched)
            # a process that ends tidies nothing up
            patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
            try:
                restore(Path(made.path), Home(root))
                break
            except Crash:
                pass
        with pytest.raises(HomeError, match="Restore it again"):
            Home(root).create()
        kept_out += 1
        restore(Path(made.path), Home(root))
        expected = BackupManifest.model_validate(verify(Path(made.path)))
        assert set(files(root)) == {file.path for file in expected.files}
        shutil.rmtree(root)
        number += 1
    assert kept_out > 5


@pytest.mark.parametrize("path", ["", "/", "a//b", "a/", "..", "a/../b", "a\nb", "a\0b", "\udcff", NAME])
def test_names_that_are_not_safe(path: str) -> None:
    assert not is_safe(path)


def test_what_a_night_in_hand_is(home: KeptHome) -> None:
    assert NightFolder(home.home.nights, "ni_1").is_over
    assert not NightFolder(home.home.nights, "ni_2").is_over


def gone(path: Path, seconds: float = 10.0) -> None:
    """Wait until a file is not there any more."""
    until = time.monotonic() + seconds
    while path.exists() and time.monotonic() < until:
        time.sleep(0.01)


async def test_the_owner_writes_it(
    home: KeptHome, tmp_path: Path, make_runtime: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home.root, tmp_path / "home", symlinks=True, ignore=shutil.ignore_patterns("pipe"))
    runtime: Runtime = await make_runtime([], home=tmp_path / "home")
    host = Host(runtime, Home(tmp_path / "home"))
    await host.start()
    remote = await RemoteRuntime.connect(Home(tmp_path / "home").socket)
    made = await remote.backup(str(tmp_path / "x"))
    assert (made.adapter, verify(tmp_path / "x").adapter) == ("ad_1", "ad_1")
    with pytest.raises(UsageError, match="--replace"):
        await remote.backup(str(tmp_path / "x"))
    # a client that leaves wants no file any more
    begun, real = threading.Event(), backup_module._Writer.folder

    def slow(writer: Any, name: str) -> None:
        begun.set()
        writer._stop.wait(10)
        real(writer, name)

    monkeypatch.setattr(backup_module._Writer, "folder", slow)
    call = asyncio.create_task(remote.backup(str(tmp_path / "y")))
    await asyncio.to_thread(begun.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await remote.close()
    await host.stop()
    await asyncio.to_thread(gone, tmp_path / ".y.partial")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x"]
