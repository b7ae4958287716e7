"""Night School's own two themes; any other Textual theme works as well."""

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
    background="#12141c",
    surface="#191c27",
    panel="#232736",
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
    background="#fbfaf6",
    surface="#f2f0e9",
    panel="#e6e3d9",
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
    return {"dim": text.blend(background, 0.36).hex, "faint": text.blend(background, 0.58).hex}
