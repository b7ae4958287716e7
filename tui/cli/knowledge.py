"""`nightschool knowledge`: documents to look things up in."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui.cli.output import USAGE, Cli, json_option, print_json, words

if TYPE_CHECKING:
    from agent.calls import RuntimeCalls
    from agent.knowledge_calls import KnowledgeAdded
    from memory.knowledge import Document

_T = TypeVar("_T")
_domain_option = click.option("--domain", metavar="DOMAIN", help="Only this area of knowledge.")


@click.group()
def knowledge() -> None:
    """Add files and folders to look things up in; list, show, search and remove them."""


@knowledge.command()
@click.option(
    "--data",
    "paths",
    metavar="PATH",
    multiple=True,
    required=True,
    help="A file or folder: text, Markdown, PDF, HTML, code, JSON, CSV. May be given several times.",
)
@click.option(
    "--domain", metavar="DOMAIN", default="general", show_default=True, help="The area of knowledge."
)
@json_option
@click.pass_obj
def add(cli: Cli, paths: tuple[str, ...], domain: str, as_json: bool) -> None:
    """Read files and folders; of those read before, only what has changed.

    What cannot be read is named, and the rest is added all the same.
    """
    from agent.errors import UsageError

    if not all(paths):
        raise UsageError("The path after --data is empty.")
    wanted = tuple(str(Path(words([path])).absolute()) for path in paths)

    async def read(runtime: RuntimeCalls) -> KnowledgeAdded:
        async with _shown_progress(runtime):
            return await runtime.knowledge_add(wanted, domain)

    try:
        done = _with_runtime(cli, read)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted. What was added is kept; the same command goes on.") from None
    if as_json:
        for file in done.files:
            print_json(file)
        print_json(_counts(done) | {"left_out": done.left_out, "gone": done.gone})
    else:
        _print_added(done)
    sys.exit(USAGE if any(file.state == "failed" for file in done.files) else 0)


@knowledge.command("list")
@_domain_option
@json_option
@click.pass_obj
def list_documents(cli: Cli, domain: str | None, as_json: bool) -> None:
    """What is known now, by domain and path."""
    found = _with_runtime(cli, lambda runtime: runtime.knowledge(domain))
    if as_json:
        for document in found:
            print_json(_brief(document))
    elif found:
        from tui.render_knowledge import document_lines

        _print(document_lines(found))
    else:
        click.echo("Nothing is known yet. `nightschool knowledge add --data PATH` adds files and folders.")


@knowledge.command()
@click.argument("document", metavar="DOCUMENT")
@click.option("--version", type=int, help="Number of the version [default: the newest].")
@_domain_option
@json_option
@click.pass_obj
def show(cli: Cli, document: str, version: int | None, domain: str | None, as_json: bool) -> None:
    """What was read of DOCUMENT, an id, a path, or the end of one, and which versions there are."""
    name = words([document])
    shown = _with_runtime(cli, lambda runtime: runtime.knowledge_show(name, str(Path.cwd()), domain, version))
    if as_json:
        print_json(
            _brief(shown.document)
            | {"number": shown.number, "version": shown.version.model_dump(mode="json")}
            | {"versions": [each.model_dump(mode="json") for each in shown.document.versions]}
            | {"current": shown.current, "text": shown.text}
        )
    else:
        from tui.render_knowledge import document_head

        _print(document_head(shown))
        click.echo(shown.text.rstrip("\n"))


@knowledge.command()
@click.argument("documents", metavar="DOCUMENT...", nargs=-1, required=True)
@_domain_option
@json_option
@click.pass_obj
def remove(cli: Cli, documents: tuple[str, ...], domain: str | None, as_json: bool) -> None:
    """Take documents, by id or path, or all below a folder, out of what is known. Versions are kept."""
    names = tuple(words([name]) for name in documents)
    taken = _with_runtime(cli, lambda runtime: runtime.knowledge_remove(names, str(Path.cwd()), domain))
    for document in taken:
        if as_json:
            print_json(_brief(document))
        else:
            click.echo(f"Removed {document.path} from {document.domain}.")


@knowledge.command()
@click.argument("text", nargs=-1, required=True)
@_domain_option
@click.option("--limit", type=click.IntRange(min=1), default=5, show_default=True, help="Most to show.")
@click.option("--all-versions", is_flag=True, help="Also what was changed or removed since.")
@json_option
@click.pass_obj
def search(
    cli: Cli, text: tuple[str, ...], domain: str | None, limit: int, all_versions: bool, as_json: bool
) -> None:
    """Passages about TEXT, by meaning and by words, best first."""
    wanted = words(text)
    hits = _with_runtime(cli, lambda runtime: runtime.knowledge_search(wanted, limit, domain, all_versions))
    if as_json:
        for hit in hits:
            about = {"score": hit.score, "reason": hit.reason, "current": hit.current}
            print_json(hit.chunk.model_dump(mode="json") | {"place": hit.chunk.place} | about)
    elif hits:
        from tui.render_knowledge import passages

        _print(passages(hits, wanted))
    else:
        click.echo("Nothing found.")


@contextlib.asynccontextmanager
async def _shown_progress(runtime: RuntimeCalls) -> AsyncIterator[None]:
    """A line that says what is being read, at a terminal."""
    if not sys.stderr.isatty():
        yield
        return

    async def follow() -> None:
        async for event in runtime.events():
            if event.kind == "progress" and event.stage == "knowledge":
                line = f"{event.done:.0f} of {event.total:.0f} files  {Path(event.text).name}"
                click.echo(f"\r\x1b[2K{line[:78]!s}", nl=False, err=True)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        click.echo("\r\x1b[2K", nl=False, err=True)


def _print_added(done: KnowledgeAdded) -> None:
    for file in done.files:
        if file.state == "failed":
            click.echo(f"nightschool: {file.path}: {file.reason}", err=True)
        elif file.left_out:
            click.echo(f"{file.path}: left out {file.left_out}.")
    if done.files and all(file.state == "failed" for file in done.files):
        return
    counts = _counts(done)
    said = [f"{counts[state]} {state}" for state in ("added", "changed", "unchanged", "failed")]
    click.echo(
        f"{', '.join(each for each in said if not each.startswith('0 ')) or 'Nothing to read'}"
        f" in {done.domain}; {counts['chunks']} new chunks."
    )
    if done.left_out:
        click.echo(
            "Passed over: " + ", ".join(f"{count} {what}" for what, count in done.left_out.items()) + "."
        )
    if done.gone:
        some = ", ".join(done.gone[:3]) + (", …" if len(done.gone) > 3 else "")
        click.echo(
            f"Known from there, but not there any more: {some}. "
            "`nightschool knowledge remove PATH` takes out what is not wanted."
        )


def _counts(done: KnowledgeAdded) -> dict[str, Any]:
    counts: dict[str, Any] = {"domain": done.domain}
    for state in ("added", "changed", "unchanged", "failed"):
        counts[state] = sum(file.state == state for file in done.files)
    counts["chunks"] = sum(file.chunks for file in done.files)
    return counts


def _brief(document: Document) -> dict[str, Any]:
    """What a list says of a document, as JSON values."""
    newest = document.newest
    return {
        "id": document.id,
        "domain": document.domain,
        "path": document.path,
        "kind": newest.kind,
        "size": newest.size,
        "digest": newest.digest,
        "versions": len(document.versions),
        "at": newest.at.isoformat(),
        "left_out": newest.left_out,
        "removed": document.removed,
    }


def _with_runtime(cli: Cli, work: Callable[[RuntimeCalls], Awaitable[_T]]) -> _T:
    from tui.cli.session import open_session

    async def opened() -> _T:
        async with open_session(cli) as runtime:
            return await work(runtime)

    return asyncio.run(opened())


def _print(lines: Sequence[Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for line in lines:
        # never broken by us: a path is to be found by grep and taken by the mouse
        console.print(line, soft_wrap=True)
