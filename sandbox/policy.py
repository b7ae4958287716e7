"""What the agent may do: an ordered list of rules, the first that matches decides.

Hard rules come first and no mode lifts them: nothing outside the workspace, nothing in the agent's own
home. Then key files, then the defaults for each risk. A rule sees what a call declares (its paths, its
command); what a command does once it runs is held by the sandbox, not by a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from sandbox.paths import PathRefused, resolve_inside

Decision = Literal["allow", "ask", "deny"]

_PATH_ARGUMENTS = ("path", "file", "folder", "directory")
_KEY_NAMES = (
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.kdbx",
    "*.keystore",
    ".env",
    ".env.*",
    ".netrc",
    ".pgpass",
    ".pypirc",
    ".npmrc",
    ".git-credentials",
    "credentials.json",
)
_KEY_FOLDERS = (".ssh", ".gnupg", ".aws", ".azure", ".gcloud", ".kube", ".docker", ".password-store")
# written for others to fill in, so they hold no secret
_HARMLESS_NAMES = ("*.pub", "*.example", "*.sample", "*.template")


@dataclass(frozen=True)
class PolicyCall:
    """One call as rules see it."""

    risk: str
    """The tool's declared risk."""
    tool: str
    """The tool's name."""
    arguments: Mapping[str, Any]
    """As the model gave them, schema checked."""
    workspace: Path
    """Absolute, resolved."""
    paths: tuple[Path, ...] = ()
    """Where the call's path arguments really lead."""
    refused: str = ""
    """Why a path argument leads nowhere allowed; empty when all are fine."""


@dataclass(frozen=True)
class Rule:
    """Decides every call that `matches`."""

    name: str
    """Shown as the reason, to the model and to people."""
    decision: Decision
    """What happens."""
    matches: Callable[[PolicyCall], bool]
    """Whether this rule speaks about the call."""


@dataclass(frozen=True)
class PolicyDecision:
    """What the policy says about one call."""

    decision: Decision
    """`ask` is answered by a mode or a person, and means no when neither is there."""
    rule: str
    """Which rule decided, in words."""


@dataclass(frozen=True)
class Policy:
    """The rules in force for one task."""

    rules: Sequence[Rule]
    """In order; the first that matches decides. No match is a deny."""
    readable: Sequence[Path] = field(default=())
    """Folders outside the workspace that read tools may read."""

    def decide(self, risk: str, tool: str, arguments: Mapping[str, Any], workspace: Path) -> PolicyDecision:
        """What happens to this call. Looks at the file system, but only to resolve paths."""
        call = self._seen(risk, tool, arguments, workspace)
        for rule in self.rules:
            if rule.matches(call):
                return PolicyDecision(rule.decision, call.refused or rule.name)
        return PolicyDecision("deny", "no rule allows it")

    def _seen(self, risk: str, tool: str, arguments: Mapping[str, Any], workspace: Path) -> PolicyCall:
        paths: list[Path] = []
        refused = ""
        for name in _PATH_ARGUMENTS:
            value = arguments.get(name)
            if not isinstance(value, str):
                continue
            try:
                paths.append(resolve_inside(workspace, value, self.readable if risk == "read" else ()))
            except PathRefused as error:
                refused = refused or str(error)
        return PolicyCall(risk, tool, arguments, workspace.resolve(), tuple(paths), refused)


def default_policy(
    read: Decision = "allow",
    write: Decision = "allow",
    execute: Decision = "allow",
    network: Decision = "ask",
    *,
    home: Path | None = None,
    readable: Sequence[Path] = (),
    rules: Sequence[Rule] = (),
) -> Policy:
    """The policy of the settings. `home` is the agent's own folder; `rules` are a user's own, which come
    after the hard rules and before the defaults."""
    defaults = {"read": read, "write": write, "execute": execute, "network": network, "none": "allow"}
    hard = [Rule("the path is outside the working folder", "deny", lambda call: bool(call.refused))]
    if home is not None:
        hard.append(_home_rule(home, readable))
    keys = Rule("the file looks like a key or a password file", "ask", _touches_key_file)
    by_risk = [_risk_rule(risk, decision) for risk, decision in defaults.items()]
    return Policy((*hard, *rules, _stricter(keys, defaults), *by_risk), readable)


def is_key_file(path: Path) -> bool:
    """Whether a file's name or folder says that it holds keys or passwords."""
    name = path.name.lower()
    if any(fnmatchcase(name, pattern) for pattern in _HARMLESS_NAMES):
        return False
    if any(fnmatchcase(name, pattern) for pattern in _KEY_NAMES):
        return True
    return any(part.lower() in _KEY_FOLDERS for part in path.parts)


def _touches_key_file(call: PolicyCall) -> bool:
    # only what lies below the workspace counts: a workspace may itself be somewhere below `.docker`
    return any(
        is_key_file(path.relative_to(call.workspace) if path.is_relative_to(call.workspace) else path)
        for path in call.paths
    )


def _stricter(rule: Rule, defaults: Mapping[str, Any]) -> Rule:
    """The rule, silent where the default for the risk already denies: asking must never soften a deny."""
    return Rule(
        rule.name, rule.decision, lambda call: defaults.get(call.risk) != "deny" and rule.matches(call)
    )


def _home_rule(home: Path, readable: Sequence[Path]) -> Rule:
    own = home.resolve()
    shown = [folder.resolve() for folder in readable]

    def matches(call: PolicyCall) -> bool:
        # a workspace made for a task lies in the home; inside it the agent may work
        return any(
            path.is_relative_to(own)
            and not (call.workspace.is_relative_to(own) and path.is_relative_to(call.workspace))
            and not (call.risk == "read" and any(path.is_relative_to(folder) for folder in shown))
            for path in call.paths
        )

    return Rule("the path is in the agent's own home", "deny", matches)


def _risk_rule(risk: str, decision: Decision) -> Rule:
    words = {"allow": "is allowed", "ask": "needs approval", "deny": "is denied"}[decision]
    subject = "talking" if risk == "none" else risk
    return Rule(f"policy: {subject} {words}", decision, lambda call: call.risk == risk)
