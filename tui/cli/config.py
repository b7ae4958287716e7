"""`nightschool config`: show or change settings."""

from __future__ import annotations

import click

from tui.cli.output import Cli, json_option, print_json


@click.group()
def config() -> None:
    """Show or change settings."""


@config.command()
@json_option
@click.pass_obj
def show(cli: Cli, as_json: bool) -> None:
    """Every setting in force, and where the file is."""
    from agent.config import Settings, known_keys

    settings, defaults = cli.settings(), Settings()
    if not as_json:
        click.secho(f"# {cli.home / 'config.toml'}", dim=True)
    for key in known_keys():
        section, name = key.split(".")
        value, default = getattr(getattr(settings, section), name), getattr(getattr(defaults, section), name)
        if as_json:
            print_json({"key": key, "value": value, "default": default})
        else:
            click.secho(f"{key} = {value}", bold=value != default)


@config.command("set")
@click.argument("key")
@click.argument("value")
@json_option
@click.pass_obj
def set_(cli: Cli, key: str, value: str, as_json: bool) -> None:
    """Write KEY (as `section.key`) into the home's config.toml."""
    from agent.config import set_value
    from agent.model.catalogue import check_kind, find

    if key == "memory.embedder" or (key == "model.name" and value != "auto"):
        value = check_kind(find(value), "language" if key == "model.name" else "embedder", key).name
    set_value(cli.home, key, value)
    if as_json:
        print_json({"key": key, "value": value})
    else:
        click.echo(f"{key} = {value}")
