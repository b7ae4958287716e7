"""What a file holds, told by its name."""

from __future__ import annotations

from pathlib import PurePath

from memory.knowledge import DocumentKind

_SUFFIXES: dict[DocumentKind, str] = {
    "markdown": "md markdown mdown mdx qmd",
    "html": "html htm xhtml",
    "pdf": "pdf",
    "json": "json geojson ipynb",
    "csv": "csv tsv",
    "text": "txt text rst adoc org tex log srt vtt",
    "code": (
        "py pyi pyx js mjs cjs jsx ts mts tsx vue svelte java kt kts scala groovy c h cc cpp cxx hh "
        "hpp hxx m mm cs fs vb go rs rb php pl pm lua r jl swift dart ex exs erl hs ml mli clj cljs "
        "lisp el scm sh bash zsh fish ps1 bat sql proto graphql css scss less toml yaml yml ini cfg "
        "conf tf cmake mk gradle nix zig asm s f90 pas v sv vhd jsonl ndjson xml"
    ),
}
_KINDS: dict[str, DocumentKind] = {
    f".{suffix}": kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()
}
# folders that hold what programs made or fetched
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})


def kind_of(path: PurePath) -> DocumentKind | None:
    """The kind a name promises; None for a name that promises nothing."""
    return _KINDS.get(path.suffix.casefold())
