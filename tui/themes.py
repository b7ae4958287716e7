"""Night School's own two themes; any other Textual theme works as well.

Backgrounds are nearly grey (saturation below 0.15), so that terminals with 256 colours find them on
their grey ramp and not among the bright cube colours.
"""

from __future__ import annotations

from textual.color import Color, ColorParseError
from textual.theme import Theme

NIGHT = Theme(
    name="night-school",
    primary="#8fabf7",
    secondary="#6878a8",
    accent="#e6c679",
    success="#8cc79a",
    warning="#e3b266",
    error="#e8808a",
    foreground="#d5d9e6",
    background="#14151a",
    surface="#1b1c23",
    panel="#25272f",
    dark=True,
    variables={
        "block-cursor-text-style": "none",
        "input-selection-background": "#8fabf7 30%",
        "markdown-h1-color": "#8fabf7",
        "markdown-h2-color": "#8fabf7",
        "markdown-h2-text-style": "bold",
        "markdown-h3-color": "#d5d9e6",
    },
)

DAY = Theme(
    name="day-school",
    primary="#3457b5",
    secondary="#6a78a3",
    accent="#8f6400",
    success="#2c7a4b",
    warning="#97650a",
    error="#b23842",
    foreground="#2a2d36",
    background="#fafaf9",
    surface="#f1f1ee",
    panel="#e4e4df",
    dark=False,
    variables={
        "block-cursor-text-style": "none",
        "input-selection-background": "#3457b5 25%",
        "markdown-h1-color": "#3457b5",
        "markdown-h2-color": "#3457b5",
        "markdown-h2-text-style": "bold",
        "markdown-h3-color": "#2a2d36",
    },
)

OWN = (NIGHT, DAY)


def quiet_colours(variables: dict[str, str]) -> dict[str, str]:
    """`$dim` and `$faint` for any theme: the text colour on its way to the background.

    Textual's own muted colours are transparent, which text spans cannot blend.
    """
    try:
        text, background = Color.parse(variables["foreground"]), Color.parse(variables["background"])
    except ColorParseError:
        text = background = Color.parse("ansi_default")
    if text.ansi is not None or background.ansi is not None:
        return {"dim": "ansi_bright_black", "faint": "ansi_bright_black"}
    # as far as legibility allows: on both own themes 4.5:1 for what is read, 3:1 for hints, also on surfaces
    return {"dim": text.blend(background, 0.32).hex, "faint": text.blend(background, 0.46).hex}


def for_terminal(theme: Theme, color_system: str | None) -> str:
    """The theme's name; on 16 colours Textual's native one of the same brightness, because pastel
    shades would all turn white there."""
    if color_system != "standard" or theme.ansi:
        return theme.name
    return "ansi-dark" if theme.dark else "ansi-light"
