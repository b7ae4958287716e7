"""Settings: what the shipped file promises, which source wins, and what a mistake says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.config import Settings, default_text, known_keys, load_settings, set_value
from agent.errors import ConfigError


def test_the_shipped_file_holds_every_default() -> None:
    shipped = tomllib.loads(default_text())
    assert shipped == Settings().model_dump(mode="json")
    assert [f"{section}.{key}" for section, keys in shipped.items() for key in keys] == known_keys()


def test_every_line_of_the_shipped_file_is_explained() -> None:
    bare = [line for line in default_text().splitlines() if "=" in line.partition("#")[0] and "#" not in line]
    assert bare == []


def test_later_sources_win(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[agent]\nmax_steps = 3\nmax_tokens = 30\nturn_tokens = 40\n")
    environ = {"NIGHTSCHOOL_AGENT_MAX_TOKENS": "50", "NIGHTSCHOOL_AGENT_TURN_TOKENS": "60"}
    settings = load_settings(tmp_path, {"agent.turn_tokens": 70, "agent.max_steps": None}, environ).agent
    assert (settings.max_steps, settings.max_tokens, settings.turn_tokens) == (3, 50, 70)
    assert settings.repeat_limit == Settings().agent.repeat_limit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[agent]\nmax_stepz = 3\n", ["max_stepz", "max_steps"]),
        ("[agnet]\nmax_steps = 3\n", ["agnet", "agent"]),
        ("[agent]\nmax_steps = 0\n", ["max_steps"]),
        ("[agent]\nmax_steps = 'many'\n", ["max_steps"]),
        ("[policy]\nnetwork = 'maybe'\n", ["network", "ask"]),
        ("agent = 3\n", ["agent"]),
        ("[agent\n", ["config.toml"]),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path: Path, text: str, said: list[str]) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, environ={})
    for word in ["config.toml", *said]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="NIGHTSCHOOL_MODEL_NAMES"):
        load_settings(tmp_path, environ={"NIGHTSCHOOL_MODEL_NAMES": "auto"})
    with pytest.raises(ConfigError, match="NIGHTSCHOOL_AGENT_MAX_STEPS"):
        load_settings(tmp_path, environ={"NIGHTSCHOOL_AGENT_MAX_STEPS": "many"})
    # these choose folders and are no settings
    load_settings(tmp_path, environ={"NIGHTSCHOOL_HOME": "/x", "NIGHTSCHOOL_CACHE": "/y"})


def test_setting_a_value_keeps_comments_and_refuses_nonsense(tmp_path: Path) -> None:
    set_value(tmp_path, "sandbox.memory_mb", "512")
    text = (tmp_path / "config.toml").read_text(encoding="utf-8")
    assert "# memory of one command" in text
    assert load_settings(tmp_path, environ={}).sandbox.memory_mb == 512
    with pytest.raises(ConfigError, match="memory_mb"):
        set_value(tmp_path, "sandbox.memory_mb", "a lot")
    with pytest.raises(ConfigError, match=r"sandbox\.memory_mb"):
        set_value(tmp_path, "sandbox.memory_bm", "512")
    assert (tmp_path / "config.toml").read_text(encoding="utf-8") == text
