"""The command ``mmeval``: where its sub-commands come together and where errors become one sentence."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from mmeval.cli import bench, data, plugins, report, run, score
from mmeval.errors import UserError
from mmeval.files import disk_full
from mmeval.version import __version__


class _Group(TyperGroup):
    """The built-in commands, and those that plugins add; a plugin is loaded only when its command is called."""

    _describing = False

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer's own types are private
        """Help, for which no plugin is imported."""
        self._describing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._describing = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401
        return [*super().list_commands(ctx), *(name for name in _plugin_commands() if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        found = super().get_command(ctx, cmd_name)
        if found is not None or cmd_name not in _plugin_commands():
            return found
        if self._describing:
            from mmeval.plugin.listing import installed

            summary = next(one.summary for one in installed("command") if one.name == cmd_name)
            return TyperCommand(cmd_name, help=summary)
        from mmeval.plugin.manager import Manager

        added = typer.Typer(name=cmd_name)
        Manager().add_commands(cmd_name, added)
        return typer.main.get_group(added)


def _plugin_commands() -> list[str]:
    from mmeval.plugin.listing import entry_points

    return sorted(entry.name for entry in entry_points("command"))


_traceback = False
app = typer.Typer(
    cls=_Group,
    name="mmeval",
    help="Train and evaluate models of multilingual image-text classification under one protocol, per language.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", envvar="MMEVAL_TRACEBACK", help="Show where an error was raised.")
    ] = False,
) -> None:
    """Options of the command itself."""
    global _traceback
    _traceback = traceback


app.command("run")(run.run)
app.command("bench")(bench.bench)
app.command("score")(score.score)
app.command("report")(report.report)
app.add_typer(plugins.app, name="plugins")
app.add_typer(data.app, name="data")


def main() -> NoReturn:
    """Run the command line; a user's mistake is one sentence on standard error and exit status 2."""
    try:
        app()
    except UserError as error:
        if _traceback:
            import traceback

            traceback.print_exception(error)
        _fail(str(error), error.exit_code)
    except Exception as error:
        if not disk_full(error):
            raise
        _fail(f"The disk is full ({error}). Make room, then repeat the command; what is whole is kept.", 1)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    from rich.console import Console

    Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {_escape(message)}", soft_wrap=True)
    sys.exit(code)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
