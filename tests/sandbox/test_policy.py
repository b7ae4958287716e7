"""Policy: the first rule that matches decides, and no setting lifts a hard one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.policy import Policy, Rule, default_policy, is_key_file


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_the_defaults_by_risk(workspace: Path) -> None:
    policy = default_policy()
    said = {
        risk: policy.decide(risk, "some_tool", {}, workspace).decision
        for risk in ("read", "write", "execute", "network", "none")
    }
    assert said == {"read": "allow", "write": "allow", "execute": "allow", "network": "ask", "none": "allow"}


def test_settings_change_the_defaults_and_the_reason_says_which(workspace: Path) -> None:
    said = default_policy(execute="deny").decide("execute", "run_shell", {"command": "ls"}, workspace)
    assert (said.decision, said.rule) == ("deny", "policy: execute is denied")


def test_an_unknown_risk_is_denied(workspace: Path) -> None:
    assert default_policy().decide("teleport", "beam", {}, workspace).decision == "deny"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "~/.ssh/id_rsa", "link/x", "bad\0name"])
@pytest.mark.parametrize("risk", ["read", "write"])
def test_outside_the_workspace_is_denied_whatever_the_settings_and_rules(
    workspace: Path, path: str, risk: str
) -> None:
    (workspace / "link").symlink_to("/etc")
    generous = Rule("everything goes", "allow", lambda call: True)
    policy = default_policy("allow", "allow", "allow", "allow", rules=[generous])
    assert policy.decide(risk, "any", {"path": path}, workspace).decision == "deny"


def test_the_agents_own_home_is_denied_even_inside_the_workspace(tmp_path: Path) -> None:
    home = tmp_path / "data" / "nightschool"
    policy = default_policy(home=home)
    said = policy.decide("read", "read_file", {"path": "data/nightschool/config.toml"}, tmp_path)
    assert (said.decision, said.rule) == ("deny", "the path is in the agent's own home")
    assert policy.decide("read", "read_file", {"path": "data/other"}, tmp_path).decision == "allow"


def test_a_workspace_in_the_home_may_be_worked_in_and_nothing_beside_it(tmp_path: Path) -> None:
    workspace = tmp_path / "workspaces" / "ep_1"
    workspace.mkdir(parents=True)
    policy = default_policy(home=tmp_path)
    assert policy.decide("write", "write_file", {"path": "a.txt"}, workspace).decision == "allow"
    other = str(tmp_path / "workspaces" / "ep_2" / "a.txt")
    assert policy.decide("read", "read_file", {"path": other}, workspace).decision == "deny"


def test_kept_outputs_may_be_read_and_not_written(tmp_path: Path, workspace: Path) -> None:
    outputs = tmp_path / "home" / "outputs" / "ep_1"
    outputs.mkdir(parents=True)
    policy = default_policy(home=tmp_path / "home", readable=[outputs])
    path = {"path": str(outputs / "call.txt")}
    assert policy.decide("read", "read_file", path, workspace).decision == "allow"
    assert policy.decide("write", "write_file", path, workspace).decision == "deny"
    neighbour = {"path": str(outputs.parent / "ep_2" / "call.txt")}
    assert policy.decide("read", "read_file", neighbour, workspace).decision == "deny"


@pytest.mark.parametrize(
    "name", [".env", ".env.local", "id_rsa", "deploy/id_ed25519", "tls/server.PEM", ".ssh/config", ".aws/x"]
)
def test_key_files_are_asked_about(workspace: Path, name: str) -> None:
    assert default_policy().decide("read", "read_file", {"path": name}, workspace).decision == "ask"
    assert (
        default_policy(read="deny").decide("read", "read_file", {"path": name}, workspace).decision == "deny"
    )


def test_a_link_with_a_harmless_name_is_judged_by_where_it_leads(workspace: Path) -> None:
    (workspace / ".env").write_text("KEY=1")
    (workspace / "notes.txt").symlink_to(".env")
    assert default_policy().decide("read", "read_file", {"path": "notes.txt"}, workspace).decision == "ask"


@pytest.mark.parametrize(
    "name", ["id_rsa.pub", ".env.example", "environment.py", "keys.txt", "monkey", "ssh/config"]
)
def test_what_only_looks_a_little_like_a_key_file_is_none(name: str) -> None:
    assert not is_key_file(Path(name))


def test_a_workspace_below_a_key_folder_is_not_all_keys(tmp_path: Path) -> None:
    workspace = tmp_path / ".docker" / "project"
    workspace.mkdir(parents=True)
    assert default_policy().decide("read", "read_file", {"path": "a.txt"}, workspace).decision == "allow"


def test_own_rules_come_before_the_defaults_and_the_first_decides(workspace: Path) -> None:
    rules = [
        Rule("no git", "deny", lambda call: str(call.arguments.get("command", "")).startswith("git ")),
        Rule("ask before git", "ask", lambda call: "git" in str(call.arguments.get("command", ""))),
    ]
    policy = default_policy(rules=rules)
    said = [
        policy.decide("execute", "run_shell", {"command": command}, workspace).rule
        for command in ("git push", "cd x && git push", "ls")
    ]
    assert said == ["no git", "ask before git", "policy: execute is allowed"]


def test_without_rules_nothing_is_allowed(workspace: Path) -> None:
    assert Policy(()).decide("read", "read_file", {"path": "a"}, workspace).decision == "deny"
