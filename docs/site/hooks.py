"""Pages that are made of the code: command line, fields of the database, Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import typer
from mkdocs.structure.files import File

from genmat.cli.app import app
from genmat.database.documents import DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?!docs)[^)]*\)")
_JSON = re.compile(r"\[([^\]]+)\]\([^)]*\.json\)")
MODULES = (
    "genmat.notebook",
    "genmat.errors",
    "genmat.campaign.schema",
    "genmat.database.store",
    "genmat.database.collection",
    "genmat.generation.registry",
    "genmat.models.protocol",
    "genmat.representation",
    "workflows.run",
)
"""Modules that others build on."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of the code."""
    for name, text in (("cli", cli_page()), ("fields", fields_page()), ("python", python_page())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links to files outside the documentation into plain text: they exist in the repository alone."""
    return _JSON.sub(r"\1", _OUTSIDE.sub(r"\1", markdown))


def cli_page() -> str:
    """Return every command with its arguments and options."""
    lines = ["# Command line", "", "Every command has `--help` with an example; those with `--json` print JSON.", ""]
    for path, command in commands(typer.main.get_command(app)):
        text = (command.help or "").strip().replace("\n\n", "\n\n").replace("Example: ", "\n\n    ")
        lines += [f"## genmat {' '.join(path)}", "", text, ""]
        rows = [(_name(parameter), _meaning(parameter)) for parameter in command.params if parameter.name != "help"]
        if rows:
            lines += ["| argument or option | meaning |", "|---|---|"]
            lines += [f"| `{name}` | {meaning} |" for name, meaning in rows]
            lines.append("")
    return "\n".join(lines)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that call it."""
    if hasattr(command, "commands"):
        for name, child in sorted(command.commands.items()):
            yield from commands(child, (*path, name))
    else:
        yield path, command


def _name(parameter: click.Parameter) -> str:
    return parameter.opts[0] if parameter.opts[0].startswith("-") else (parameter.metavar or parameter.name or "")


def _meaning(parameter: click.Parameter) -> str:
    text = " ".join((getattr(parameter, "help", None) or "").split()).replace("|", "\\|").replace("<", "&lt;")
    default = parameter.default
    shown = isinstance(default, str | int | float) and not isinstance(default, bool)
    return f"{text} Default: `{default}`." if shown else text


def fields_page() -> str:
    """Return the fields of the six collections with what they mean."""
    lines = [
        "# Fields of the database",
        "",
        "Written from `genmat.database.documents`. Lengths in Å, energies in eV.",
        "",
    ]
    for document in DOCUMENTS:
        lines += [f"## {document.collection}", "", (document.__doc__ or "").strip().splitlines()[0], ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        for name, field in document.model_fields.items():
            kind = re.sub(r"[\w.]+\.(\w+)", r"\1", str(field.annotation)).replace("|", "or").replace("<class '", "")
            lines.append(
                f"| `{'_id' if name == 'id' else name}` | `{kind.rstrip(chr(39) + '>')}` | {field.description} |"
            )
        lines.append("")
    return "\n".join(lines)


def python_page() -> str:
    """Return what mkdocstrings fills in from the docstrings."""
    return "# Python\n\n" + "\n\n".join(f"::: {name}" for name in MODULES) + "\n"
