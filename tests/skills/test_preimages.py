"""Undo: whatever tools and commands did to a workspace, the tree comes back byte for byte."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import skills.tree_scan
from skills.preimages import Change, Preimages
from skills.text_files import TextFileError, replace_file


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder: kinds, modes, contents, link targets."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        name, mode = str(path.relative_to(root)), path.lstat().st_mode
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))  # noqa: PTH115
        elif path.is_dir():
            found[name] = ("folder", stat.S_IMODE(mode))
        elif path.is_file():
            found[name] = ("file", stat.S_IMODE(mode), path.read_bytes())
        else:
            found[name] = ("other", stat.S_IFMT(mode))
    return found


def shell(workspace: Path, preimages: Preimages, command: str) -> None:
    """A command as the loop runs it."""
    preimages.snapshot(workspace)
    subprocess.run(["sh", "-c", command], cwd=workspace, check=True)
    preimages.settle(workspace)


def write(workspace: Path, preimages: Preimages, name: str, data: bytes) -> None:
    """A write as a file tool does it."""
    replace_file(workspace, workspace / name, data, preimages.keep)


def by_path(changes: list[Change]) -> dict[str, str]:
    return {change.path: change.action for change in changes}


def test_a_written_file_goes_back_with_its_mode_and_time(workspace: Path, preimages: Preimages) -> None:
    file = workspace / "run.sh"
    file.write_bytes(b"one\r\ntwo\r\n")
    file.chmod(0o754)
    os.utime(file, ns=(10**18, 10**18))
    write(workspace, preimages, "run.sh", b"three\n")
    assert by_path(preimages.changes(workspace)) == {"run.sh": "restore"}
    assert preimages.undo(workspace) == ["run.sh"]
    assert file.read_bytes() == b"one\r\ntwo\r\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o754
    assert file.stat().st_mtime_ns == 10**18
    assert preimages.changes(workspace) == []


def test_a_created_file_goes_away_with_the_folders_made_for_it(workspace: Path, preimages: Preimages) -> None:
    write(workspace, preimages, "a/b/c.txt", b"new")
    assert by_path(preimages.changes(workspace)) == {"a": "remove", "a/b": "remove", "a/b/c.txt": "remove"}
    preimages.undo(workspace)
    assert list(workspace.iterdir()) == []


def test_a_folder_that_holds_something_made_later_stays(workspace: Path, preimages: Preimages) -> None:
    write(workspace, preimages, "a/mine.txt", b"new")
    (workspace / "a" / "yours.txt").write_text("made by the user afterwards")
    preimages.undo(workspace)
    assert [path.name for path in workspace.rglob("*")] == ["a", "yours.txt"]


def test_the_diff_goes_from_now_to_then(workspace: Path, preimages: Preimages) -> None:
    (workspace / "notes.txt").write_text("same\nold\n")
    write(workspace, preimages, "notes.txt", b"same\nnew\n")
    (change,) = preimages.changes(workspace)
    assert "-new" in change.diff
    assert "+old" in change.diff


def test_what_was_changed_again_afterwards_is_said(workspace: Path, preimages: Preimages) -> None:
    (workspace / "notes.txt").write_text("old\n")
    write(workspace, preimages, "notes.txt", b"new\n")
    preimages.settle(workspace)
    assert "changed again" not in preimages.changes(workspace)[0].diff
    (workspace / "notes.txt").write_text("by hand\n")
    (change,) = preimages.changes(workspace)
    assert "changed again after the task" in change.diff
    assert "-by hand" in change.diff


def test_what_others_changed_between_and_after_commands_is_left_alone(
    workspace: Path, preimages: Preimages
) -> None:
    (workspace / "mine").write_text("0")
    (workspace / "yours").write_text("0")
    shell(workspace, preimages, "echo 1 > mine")
    (workspace / "yours").write_text("by the user")
    (workspace / "new").write_text("by the user")
    shell(workspace, preimages, "echo 2 > mine; echo more >> new")
    (workspace / "later").write_text("by the user")
    assert by_path(preimages.changes(workspace)) == {"mine": "restore", "new": "restore"}
    preimages.undo(workspace)
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {
        "mine": "0",
        "yours": "by the user",
        "new": "by the user",
        "later": "by the user",
    }


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf *",
        "mv a.txt b.txt",
        "mv sub other && echo x > other/new",
        "rm -r sub && ln -s /etc sub",
        "rm a.txt && mkdir -p a.txt/deep && echo x > a.txt/deep/y",
        "chmod 600 a.txt && chmod 700 sub",
        "ln -sf nowhere link && rm -rf empty",
        "mkfifo pipe",
        "printf 'changed' > link",
        "printf '\\377\\000' > 'odd\nname'",
        "mkdir shut && echo x > shut/x && chmod 000 shut",
        "chmod 000 sub",
        "chmod 000 a.txt",
        "cp -p a.txt tmp && echo 9 > tmp && mv tmp a.txt",
    ],
)
def test_whatever_a_command_did_comes_back(workspace: Path, preimages: Preimages, command: str) -> None:
    (workspace / "a.txt").write_bytes(b"\x00\xffbinary\n")
    (workspace / "sub").mkdir()
    (workspace / "sub" / "inner.txt").write_text("inner")
    (workspace / "sub").chmod(0o755)
    (workspace / "empty").mkdir()
    (workspace / "link").symlink_to("./sub/../a.txt")
    (workspace / "out").symlink_to("/etc/hostname")
    before = tree(workspace)
    shell(workspace, preimages, command)
    preimages.undo(workspace)
    assert tree(workspace) == before
    assert preimages.changes(workspace) == []


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of its own for a user without rights; root can open everything, so it would prove nothing."""
    folder = Path(tempfile.mkdtemp()).resolve()
    if os.geteuid() != 0:
        yield folder
    else:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=False)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "command",
    [
        "chmod 000 sub",
        "echo x > sub/inner.txt; chmod 000 sub/inner.txt sub",
        "mkdir -p shut/deep; echo x > shut/deep/x; chmod 000 shut/deep shut",
        "chmod 700 fixed; echo x > fixed/new; rm fixed/old; chmod 000 fixed",
        "chmod 700 fixed; echo x > fixed/new; rm fixed/old; chmod 555 fixed",
        "chmod 000 a.txt; rm -rf sub",
        "echo x > sub/new; chmod 400 sub",
    ],
)
def test_folders_that_were_shut_are_opened_again(as_nobody: Path, command: str) -> None:
    workspace, preimages = as_nobody / "work", Preimages(as_nobody / "kept")
    (workspace / "sub").mkdir(parents=True)
    (workspace / "sub" / "inner.txt").write_text("inner")
    (workspace / "a.txt").write_text("a")
    (workspace / "fixed").mkdir()
    (workspace / "fixed" / "old").write_text("old")
    (workspace / "fixed").chmod(0o555)
    before = tree(workspace)
    preimages.snapshot(workspace)
    # the child must drop its real user too, which a changed effective one leaves as it was
    child = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    with acting_as_root():
        subprocess.run(["sh", "-c", command], cwd=workspace, check=True, **child)  # type: ignore[call-overload]
    preimages.settle(workspace)
    preimages.undo(workspace)
    assert tree(workspace) == before
    assert preimages.changes(workspace) == []


@contextmanager
def acting_as_root() -> Iterator[None]:
    """To start a child as another user, where the tests run as root."""
    user = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    yield
    os.seteuid(user)


def test_a_non_utf8_name_is_shown_and_comes_back(workspace: Path, preimages: Preimages) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (workspace / name).write_text("old")
    shell(workspace, preimages, "rm *")
    (change,) = preimages.changes(workspace)
    change.path.encode("utf-8")
    preimages.undo(workspace)
    assert (workspace / name).read_text() == "old"


def test_a_crash_in_the_middle_of_a_command_can_be_undone(workspace: Path, preimages: Preimages) -> None:
    (workspace / "a.txt").write_text("old")
    preimages.snapshot(workspace)
    (workspace / "a.txt").write_text("new")
    (workspace / "b.txt").write_text("new")
    after_crash = Preimages(preimages._folder)
    assert by_path(after_crash.changes(workspace)) == {"a.txt": "restore", "b.txt": "remove"}
    after_crash.undo(workspace)
    assert tree(workspace).keys() == {"a.txt"}
    assert (workspace / "a.txt").read_text() == "old"


def test_looking_at_the_changes_does_not_disturb_a_running_command(
    workspace: Path, preimages: Preimages
) -> None:
    (workspace / "a.txt").write_text("old")
    before = preimages.snapshot(workspace)
    (workspace / "a.txt").write_text("new")
    assert by_path(Preimages(preimages._folder).changes(workspace)) == {"a.txt": "restore"}
    (workspace / "b.txt").write_text("new")
    preimages.settle(before.workspace)
    assert by_path(preimages.changes(workspace)) == {"a.txt": "restore", "b.txt": "remove"}


def test_a_torn_last_line_loses_nothing_else(workspace: Path, preimages: Preimages) -> None:
    (workspace / "a.txt").write_text("old")
    write(workspace, preimages, "a.txt", b"new")
    with (preimages._folder / "log.jsonl").open("ab") as log:
        log.write(b'{"first": "/half a li')
    again = Preimages(preimages._folder)
    write(workspace, again, "b.txt", b"new")
    third = Preimages(preimages._folder)
    assert by_path(third.changes(workspace)) == {"a.txt": "restore", "b.txt": "remove"}


def test_an_undo_that_was_cut_off_is_finished_by_the_next(
    workspace: Path, preimages: Preimages, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        (workspace / f"{number}.txt").write_text("old")
    before = tree(workspace)
    shell(workspace, preimages, "for n in 0 1 2 3 4; do rm $n.txt; mkdir $n.txt; done")

    class Crash(BaseException):
        pass

    put = skills.preimages.put_file
    done = []

    def crashing(*arguments: object) -> None:
        if len(done) == 2:
            raise Crash
        done.append(1)
        put(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(skills.preimages, "put_file", crashing)
        with pytest.raises(Crash):
            preimages.undo(workspace)
    Preimages(preimages._folder).undo(workspace)
    assert tree(workspace) == before


def test_undo_never_follows_a_link_out_of_the_workspace(
    workspace: Path, preimages: Preimages, tmp_path: Path
) -> None:
    (workspace / "sub").mkdir()
    (workspace / "sub" / "a.txt").write_text("old")
    write(workspace, preimages, "sub/a.txt", b"new")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("precious")
    shutil.rmtree(workspace / "sub")
    (workspace / "sub").symlink_to(outside)
    preimages.undo(workspace)
    assert (outside / "a.txt").read_text() == "precious"
    assert [path.name for path in outside.iterdir()] == ["a.txt"]


def test_a_file_beyond_the_bound_is_told_and_left(
    workspace: Path, preimages: Preimages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skills.tree_scan, "MOST_BYTES", 1000)
    (workspace / "large").write_bytes(b"x" * 2000)
    (workspace / "small").write_bytes(b"x" * 900)
    before = preimages.snapshot(workspace)
    assert before.uncopied == 1
    (workspace / "large").write_bytes(b"y" * 2000)
    (workspace / "small").write_bytes(b"y")
    preimages.settle(workspace)
    changes = {change.path: change for change in preimages.changes(workspace)}
    assert (changes["large"].action, changes["small"].action) == ("lost", "restore")
    assert "too large to keep" in changes["large"].diff
    preimages.undo(workspace)
    assert (workspace / "large").read_bytes() == b"y" * 2000
    assert (workspace / "small").read_bytes() == b"x" * 900


def test_a_workspace_with_too_many_files_claims_nothing_it_does_not_know(
    workspace: Path, preimages: Preimages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skills.tree_scan, "MOST_ENTRIES", 3)
    for number in range(6):
        (workspace / str(number)).write_text("old")
    shell(workspace, preimages, "touch new")
    assert preimages.changes(workspace) == []
    preimages.undo(workspace)
    assert len(list(workspace.iterdir())) == 7


def test_a_second_scan_reads_only_what_changed(workspace: Path, preimages: Preimages) -> None:
    for number in range(20):
        (workspace / str(number)).write_bytes(bytes([number]) * 1000)
    shell(workspace, preimages, "true")
    size = (preimages._folder / "scan.pack").stat().st_size
    shell(workspace, preimages, "echo changed > 3")
    shell(workspace, preimages, "true")
    assert size == 20_000
    assert (preimages._folder / "scan.pack").stat().st_size == size


def test_close_frees_the_scan_and_undo_still_works(workspace: Path, preimages: Preimages) -> None:
    (workspace / "a.txt").write_text("old")
    (workspace / "b.txt").write_text("x" * 10_000)
    shell(workspace, preimages, "echo new > a.txt")
    preimages.close()
    assert sum(file.stat().st_size for file in preimages._folder.iterdir()) < 2000
    Preimages(preimages._folder).undo(workspace)
    assert (workspace / "a.txt").read_text() == "old"


def test_damaged_content_is_not_put_back_as_if_it_were_whole(workspace: Path, preimages: Preimages) -> None:
    (workspace / "a.txt").write_text("old content")
    write(workspace, preimages, "a.txt", b"new")
    pack = preimages._folder / "kept.pack"
    pack.write_bytes(b"zzz content")
    again = Preimages(preimages._folder)
    again.undo(workspace)
    assert (workspace / "a.txt").read_text() == "new"
    assert by_path(again.changes(workspace)) == {"a.txt": "lost"}


def test_an_episode_that_changed_nothing_leaves_no_folder(workspace: Path, preimages: Preimages) -> None:
    assert preimages.changes(workspace) == []
    assert preimages.undo(workspace) == []
    assert not preimages._folder.exists()


NAMES = st.sampled_from(["a", "b", "c", "d/a", "d/b", "d/e/a", "f"])
DATA = st.binary(max_size=6)


class AnEpisode(RuleBasedStateMachine):
    """Random changes through tools and commands, with changes by others before the episode only."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp()).resolve()
        self.workspace = self.top / "work"
        self.workspace.mkdir()
        self.preimages = Preimages(self.top / "kept")
        self.in_command = False

    @initialize(
        files=st.dictionaries(NAMES, st.tuples(DATA, st.sampled_from([0o644, 0o600, 0o755]))),
        links=st.dictionaries(st.sampled_from(["l", "d/l"]), NAMES),
    )
    def begin(self, files: dict[str, tuple[bytes, int]], links: dict[str, str]) -> None:
        for name, (data, mode) in files.items():
            path = self.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)
        for name, target in links.items():
            path = self.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
        self.before = tree(self.workspace)

    @precondition(lambda self: not self.in_command)
    @rule(name=NAMES, data=DATA)
    def tool_writes(self, name: str, data: bytes) -> None:
        path = Path(os.path.realpath(self.workspace / name))
        try:
            replace_file(self.workspace, path, data, self.preimages.keep)
        except (OSError, TextFileError):
            return

    @rule()
    def command_starts(self) -> None:
        if not self.in_command:
            self.preimages.snapshot(self.workspace)
            self.in_command = True

    @precondition(lambda self: self.in_command)
    @rule()
    def command_ends(self) -> None:
        self.preimages.settle(self.workspace)
        self.in_command = False

    @precondition(lambda self: self.in_command)
    @rule(name=NAMES, data=DATA)
    def command_writes(self, name: str, data: bytes) -> None:
        self.attempt(
            lambda path: (path.parent.mkdir(parents=True, exist_ok=True), path.write_bytes(data)), name
        )

    @precondition(lambda self: self.in_command)
    @rule(name=st.sampled_from(["a", "d", "d/e", "d/a", "l", "f"]))
    def command_removes(self, name: str) -> None:
        self.attempt(
            lambda path: shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(),
            name,
        )

    @precondition(lambda self: self.in_command)
    @rule(name=st.sampled_from(["a", "d", "d/e", "l"]), other=st.sampled_from(["b", "g", "d/b", "g/h", "f"]))
    def command_renames(self, name: str, other: str) -> None:
        self.attempt(lambda path: path.rename(self.workspace / other), name)

    @precondition(lambda self: self.in_command)
    @rule(name=st.sampled_from(["a", "d", "d/e", "d/a"]), mode=st.sampled_from([0o700, 0o640, 0o777, 0o500]))
    def command_chmods(self, name: str, mode: int) -> None:
        self.attempt(lambda path: path.chmod(mode) if not path.is_symlink() else None, name)

    @precondition(lambda self: self.in_command)
    @rule(
        name=st.sampled_from(["l", "d/l", "m", "f"]), leads_to=st.sampled_from(["a", "d", "/etc", "../../x"])
    )
    def command_links(self, name: str, leads_to: str) -> None:
        self.attempt(lambda path: path.symlink_to(leads_to), name)

    @precondition(lambda self: self.in_command)
    @rule(name=st.sampled_from(["d", "d/e", "g", "g/h"]))
    def command_makes_folder(self, name: str) -> None:
        self.attempt(lambda path: path.mkdir(), name)

    @rule()
    def process_restarts(self) -> None:
        """Everything needed is on the disk, in the middle of a command too."""
        self.preimages = Preimages(self.preimages._folder)

    @precondition(lambda self: not self.in_command)
    @rule()
    def episode_is_undone(self) -> None:
        self.undo()

    @invariant()
    def changes_can_always_be_told(self) -> None:
        if hasattr(self, "before"):
            for change in self.preimages.changes(self.workspace):
                assert change.action != "lost"

    def attempt(self, action: object, name: str) -> None:
        # writing through a link that leads outside would need a sandbox to stop it
        path = self.workspace / name
        if not Path(os.path.realpath(path.parent)).is_relative_to(self.workspace):
            return
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(self.workspace):
            if not path.parent.is_dir():
                return
            path.unlink()
        try:
            action(path)  # type: ignore[operator]
        except OSError:
            return

    def undo(self) -> None:
        self.preimages.undo(self.workspace)
        assert tree(self.workspace) == self.before
        assert self.preimages.changes(self.workspace) == []

    def teardown(self) -> None:
        if hasattr(self, "before"):
            self.undo()
        shutil.rmtree(self.top)


TestAnEpisode = AnEpisode.TestCase
TestAnEpisode.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
