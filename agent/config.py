"""Settings: the commented `config.toml`, read, merged and checked.

Later wins: defaults, the home's `config.toml`, `NIGHTSCHOOL_SECTION_KEY` in the environment, the
command line. A key that does not exist is an error that names the closest one that does.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import platformdirs
import tomlkit
import tomlkit.exceptions
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.disk import replace_file
from agent.errors import ConfigError
from agent.home import cannot_write

Decision = Literal["allow", "ask", "deny"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelSettings(_Section):
    name: str = "auto"
    """Catalogue name, or `auto` for the best this machine runs well."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model runs."""
    quantization: Literal["auto", "none", "nf4"] = "auto"
    """4-bit weights on CUDA."""
    context_tokens: int = Field(default=8192, ge=512)
    """Longest prompt plus answer, in tokens."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """0 always takes the likeliest token."""
    constrain: bool = True
    """While decoding, allow only tool calls that fit their schema."""


class AgentSettings(_Section):
    max_steps: int = Field(default=20, ge=1)
    """Model turns for one task."""
    max_tokens: int = Field(default=8000, ge=1)
    """Tokens decoded for one task."""
    max_seconds: float = Field(default=1800, gt=0)
    """Wall-clock seconds for one task."""
    turn_tokens: int = Field(default=1024, ge=16)
    """Tokens decoded in one model turn."""
    calls_per_turn: int = Field(default=1, ge=1)
    """Tool calls in one model turn; small models do better when they see each result first."""
    repeat_limit: int = Field(default=3, ge=2)
    """Identical calls in a row before the task is stopped."""
    output_chars: int = Field(default=4000, ge=200)
    """Characters of a tool's output the model sees."""


class PolicySettings(_Section):
    read: Decision = "allow"
    """Reading files in the workspace."""
    write: Decision = "allow"
    """Changing files in the workspace."""
    execute: Decision = "allow"
    """Commands and Python in the sandbox."""
    network: Decision = "ask"
    """Anything that reaches the network."""


class SandboxSettings(_Section):
    backend: Literal["bubblewrap", "none"] = "bubblewrap"
    """What isolates commands; `none` must be chosen knowingly."""
    wall_seconds: float = Field(default=60, gt=0)
    """Wall-clock seconds of one command."""
    cpu_seconds: int = Field(default=60, ge=1)
    """CPU seconds of one process."""
    memory_mb: int = Field(default=2048, ge=32)
    """MiB of one command with all its children."""
    processes: int = Field(default=128, ge=4)
    """Processes and threads at one time."""
    file_mb: int = Field(default=256, ge=1)
    """MiB of one written file."""
    output_mb: int = Field(default=4, ge=1)
    """MiB of output kept of one command."""


class MemorySettings(_Section):
    embedder: str = "all-minilm-l6-v2"
    """Sentence embedder, a catalogue name."""
    recall_tokens: int = Field(default=400, ge=0)
    """Tokens for recalled episodes in a task's prompt; 0 recalls nothing."""
    source_tokens: int = Field(default=900, ge=100)
    """Tokens for passages of documents in a question's prompt."""
    file_mb: int = Field(default=8, ge=1)
    """MiB of text that knowledge keeps of one file."""


class LearningSettings(_Section):
    review: Literal["auto", "manual"] = "auto"
    """`auto` lets the gate's verdicts stand, `manual` trains nothing before you approve it."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Least score of an episode that changes weights."""
    lessons_per_night: int = Field(default=50, ge=1)
    """Most new lessons of one night; the rest waits for the next."""
    phrasings: int = Field(default=12, ge=2)
    """Ways to ask for each lesson that are trained."""
    tries: int = Field(default=3, ge=1)
    """Nights a lesson is tried before it is left to retrieval."""


class SleepSettings(_Section):
    schedule: str = "30 2 * * *"
    """When to sleep: five cron fields, or empty for never."""
    idle_minutes: int = Field(default=0, ge=0)
    """Sleep after this long without work, if there is something to learn; 0 never."""
    quiet_hours: str = ""
    """Never begin a night in these hours, such as `09:00-18:00`."""
    max_minutes: float = Field(default=0, ge=0)
    """Wall-clock budget of one night; 0 means none."""
    exam: Literal["auto", "brief", "thorough"] = "auto"
    """How much the exam asks; `auto` is thorough after many new lessons and for a core adapter."""
    distill_every: int = Field(default=10, ge=0)
    """Nights between distillations of everything learned into one fresh adapter; 0 never."""


class TrainingSettings(_Section):
    layers: float = Field(default=0.33, gt=0, le=1)
    """Share of the layers, from the top, that carry the adapter; those below are computed once."""
    rank: int = Field(default=16, ge=1)
    """LoRA rank; alpha is twice that."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak learning rate; larger models want less."""
    passes: int = Field(default=8, ge=1)
    """Most passes over the new lessons."""
    batch_items: int = Field(default=16, ge=1)
    """Items of one step."""
    ce_share: float = Field(default=0.6, ge=0, le=1)
    """How much the answer's words count against the teacher's distribution."""
    rehearsal_share: float = Field(default=0.3, ge=0, lt=1)
    """Share of trained tokens spent on old lessons."""
    anchor_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of trained tokens that hold general ability in place."""
    seed: int = 0
    """Of everything random at night."""


class TuiSettings(_Section):
    theme: str = "night-school"
    """`night-school`, `day-school`, or any Textual theme."""
    show_signals: bool = False
    """Tint tokens by uncertainty from the start."""


class Settings(_Section):
    """All settings, each section as in `config.toml`."""

    model: ModelSettings = ModelSettings()
    """The language model."""
    agent: AgentSettings = AgentSettings()
    """Budgets of a task."""
    policy: PolicySettings = PolicySettings()
    """What the agent may do."""
    sandbox: SandboxSettings = SandboxSettings()
    """How commands are isolated and limited."""
    memory: MemorySettings = MemorySettings()
    """What is recalled."""
    learning: LearningSettings = LearningSettings()
    """What deserves a change of weights."""
    sleep: SleepSettings = SleepSettings()
    """When the nights are."""
    training: TrainingSettings = TrainingSettings()
    """How a night trains."""
    tui: TuiSettings = TuiSettings()
    """The Textual app."""


def default_home() -> Path:
    """The home folder: `NIGHTSCHOOL_HOME`, else the platform's data folder."""
    chosen = os.environ.get("NIGHTSCHOOL_HOME")
    return Path(chosen or platformdirs.user_data_dir("nightschool")).expanduser().absolute()


def cache_dir() -> Path:
    """The weights folder all homes share: `NIGHTSCHOOL_CACHE`, else the platform's cache folder."""
    chosen = os.environ.get("NIGHTSCHOOL_CACHE")
    return Path(chosen or platformdirs.user_cache_dir("nightschool")).expanduser().absolute()


def default_text() -> str:
    """The commented default `config.toml`: beside the code in a wheel, at the top of a checkout."""
    here = Path(__file__).resolve().parent
    for candidate in (here / "config.toml", here.parent / "config.toml"):
        if candidate.is_file():
            return candidate.read_text(encoding="utf-8")
    raise ConfigError("The default config.toml is missing from the installation. Install Night School again.")


def known_keys() -> list[str]:
    """Every setting as `section.key`."""
    return [
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    ]


def load_settings(
    home: Path,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings in force for a home. `overrides` maps `section.key` to values from the command line.

    Raises ConfigError naming the file or variable and the mend.
    """
    path = home / "config.toml"
    merged = _read_file(path)
    _check_keys(merged, str(path))
    for key, value in _from_environment(os.environ if environ is None else environ).items():
        _put(merged, key, value)
    for key, value in (overrides or {}).items():
        if value is not None:
            _put(merged, key, value)
    return _validate(merged, str(path))


def set_value(home: Path, key: str, value: str) -> None:
    """Write one setting into the home's `config.toml`, comments kept. Raises ConfigError or HomeError."""
    if key not in known_keys():
        raise ConfigError(_unknown_key(key, "config set"))
    path = home / "config.toml"
    _read_file(path)
    text = path.read_text(encoding="utf-8") if path.exists() else default_text()
    document = tomlkit.parse(text)
    section, name = key.split(".")
    table = document.setdefault(section, tomlkit.table())
    table[name] = getattr(getattr(_validate({section: {name: value}}, "config set"), section), name)
    _validate(document.unwrap(), str(path))
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, tomlkit.dumps(document).encode("utf-8"))
    except OSError as error:
        raise cannot_write(home, error) from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text. Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}. Mend that line or remove the file.") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"Cannot read {path}: {reason}. Choose another home with --home.") from error


def _put(merged: dict[str, Any], key: str, value: Any) -> None:
    section, name = key.split(".")
    merged.setdefault(section, {})[name] = value


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings named by variables. Raises ConfigError naming the variable that is wrong."""
    known = {"NIGHTSCHOOL_" + key.replace(".", "_").upper(): key for key in known_keys()}
    found = {}
    for variable, value in environ.items():
        if variable in known:
            section, name = known[variable].split(".")
            _validate({section: {name: value}}, variable)
            found[known[variable]] = value
        elif any(variable.startswith(f"NIGHTSCHOOL_{section.upper()}_") for section in Settings.model_fields):
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.4)
            hint = f" Did you mean `{close[0]}`?" if close else ""
            raise ConfigError(f"The environment variable `{variable}` names no setting.{hint}")
    return found


def _check_keys(data: Mapping[str, Any], where: str) -> None:
    for section, values in data.items():
        if section not in Settings.model_fields:
            raise ConfigError(_unknown_key(section, where))
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: [{section}] is a section, not a value. Write its keys below it.")
        for key in values:
            if f"{section}.{key}" not in known_keys():
                raise ConfigError(_unknown_key(f"{section}.{key}", where))


def _unknown_key(key: str, where: str) -> str:
    known = {full: full for full in known_keys()}
    if "." not in key:
        # a misspelt section, or a name without its section
        known = {full.split(".")[1]: full for full in known} | {name: name for name in Settings.model_fields}
    if key in Settings.model_fields:
        hint = f" It is a section; `{next(k for k in known_keys() if k.startswith(f'{key}.'))}` is one in it."
    elif close := difflib.get_close_matches(key, known, n=1, cutoff=0.5):
        hint = f" Did you mean `{known[close[0]]}`?"
    else:
        hint = " `nightschool config show` lists them all."
    return f"{where}: there is no setting `{key}`.{hint}"


def _validate(data: Mapping[str, Any], where: str) -> Settings:
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{where}: `{key}` cannot be {first['input']!r}: {first['msg'].lower()}."
        ) from error
