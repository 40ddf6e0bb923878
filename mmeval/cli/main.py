"""The command ``mmeval``: its sub-commands, and errors printed as one sentence."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from mmeval.cli import (
    bench,
    compare,
    data,
    embed,
    export,
    leaderboard,
    plot,
    plugins,
    predict,
    publish,
    pull,
    run,
    score,
)
from mmeval.console import replace_unprintable
from mmeval.errors import Stopped, UserError
from mmeval.escaping import one_line, visible
from mmeval.system_errors import system_error_message
from mmeval.version import __version__


class _Group(TyperGroup):
    """The built-in commands and those of plugins; a plugin is loaded only when its command is called."""

    _formatting_help = False

    def invoke(self, ctx: Any) -> None:  # noqa: ANN401 - Typer's own types are private
        """Run a command and drop its return value: only ``typer.Exit`` sets the exit status."""
        super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer's own types are private
        """Write the help text without importing any plugin."""
        self._formatting_help = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._formatting_help = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401
        return [*super().list_commands(ctx), *(name for name in _plugin_commands() if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        command = super().get_command(ctx, cmd_name)
        if command is not None or cmd_name not in _plugin_commands():
            return command
        if self._formatting_help:
            from rich.markup import escape

            from mmeval.plugin.listing import installed

            summary = next(plugin.summary for plugin in installed("command") if plugin.name == cmd_name)
            return TyperCommand(cmd_name, help=escape(one_line(summary)))
        from mmeval.plugin.manager import Manager

        group = typer.Typer(name=cmd_name)
        Manager().add_commands(cmd_name, group)
        return typer.main.get_group(group)


def _plugin_commands() -> list[str]:
    from mmeval.plugin.listing import entry_points

    # A name with control characters can't be shown safely or typed.
    return sorted(entry.name for entry in entry_points("command") if visible(entry.name) == entry.name)


_traceback = False
app = typer.Typer(
    cls=_Group,
    name="mmeval",
    help="Train and evaluate multilingual image-text classification models under one protocol, per language.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", envvar="MMEVAL_TRACEBACK", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Read the options that stand before the sub-command."""
    global _traceback
    _traceback = traceback


app.command("run")(run.run)
app.command("bench")(bench.bench)
app.command("compare")(compare.compare)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("score")(score.score)
app.command("predict")(predict.predict)
app.command("embed")(embed.embed)
app.command("export")(export.export)
app.command("report")(score.report)
app.command("plot")(plot.plot)
app.command("publish")(publish.publish)
app.command("pull")(pull.pull)
app.add_typer(plugins.app, name="plugins")
app.add_typer(data.app, name="data")


def main() -> NoReturn:
    """Run the command line.

    A user's mistake prints one sentence on standard error and exits with status 2; an error of the operating system
    (no permission, a full disk) prints one sentence and exits with status 1.
    """
    replace_unprintable()
    try:
        _require_text(sys.argv[1:])
        status = app(prog_name="mmeval", standalone_mode=False)
    except UserError as error:
        _print_traceback(error)
        _fail(str(error), error.exit_code)
    except typer.Abort:
        _fail("Stopped.", Stopped.exit_code)
    except Exception as error:
        if _is_usage_error(error):
            _fail_usage(error)
        message = system_error_message(error)
        if message is None:
            raise
        _print_traceback(error)
        _fail(message, 1)
    sys.exit(status if isinstance(status, int) else 0)


def _require_text(words: list[str]) -> None:
    """Refuse arguments that can't be decoded: they would enter file names, records and reports."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            encoding = sys.getfilesystemencoding()
            raise UserError(
                f'"{word}" is not valid text in the encoding of this system ({encoding}); '
                "write it in that encoding, or set PYTHONUTF8=1 if it is UTF-8."
            ) from None


def _is_usage_error(error: Exception) -> bool:
    """Return whether the argument parser raised the error; Click or Typer defines its class, by Typer's version."""
    return any(base.__name__ == "ClickException" for base in type(error).__mro__)


def _fail_usage(error: Any) -> NoReturn:  # noqa: ANN401
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(error.exit_code)
    message = error.format_message()
    period = "" if message.endswith((".", "?")) else "."
    path = error.ctx.command_path if getattr(error, "ctx", None) else "mmeval"
    _fail(f"{message}{period} `{path} --help` explains the command.", error.exit_code)


def _print_traceback(error: BaseException) -> None:
    if _traceback:
        import traceback

        sys.stderr.write(visible("".join(traceback.format_exception(error))))


def _fail(message: str, code: int) -> NoReturn:
    from rich.text import Text

    from mmeval.console import cell, console

    console(stderr=True).print(Text.assemble(("error:", "bold red"), " ", cell(message)), soft_wrap=True)
    sys.exit(code)
