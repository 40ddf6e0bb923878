"""The command ``mmeval export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.predict import Columns, Encoding, Images, Language, PluginFile, Seed

CHECK = "Verification"
"""Title of a box in which help shows options."""


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or owner/name on the Hub.")],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write.", show_default=False)],
    format: Annotated[str, typer.Option(help="Format: onnx.")] = "onnx",  # noqa: A002 - the name of the option
    uncalibrated: Annotated[bool, typer.Option("--uncalibrated", help="Export the model's own probabilities.")] = False,
    opset: Annotated[
        int | None, typer.Option(min=18, help="Version of ONNX's operators.", show_default="the exporter's")
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Rows to verify the export on.", rich_help_panel=CHECK)
    ] = 256,
    table: Annotated[
        Path | None,
        typer.Option(help="Table to verify on.", show_default="the validation split of the run", rich_help_panel=CHECK),
    ] = None,
    columns: Columns = "",
    language: Language = "",
    images: Images = None,
    encoding: Encoding = "",
    seed: Seed = None,
    plugin: PluginFile = None,
) -> None:
    """Export the model of a run to ONNX, verified against torch.

    The inputs are pixels and token ids; inputs.json in the folder says how to prepare them. The outputs are the
    calibrated probabilities of each task, and the fused vector.
    """
    from mmeval.console import cell, console
    from mmeval.inference.export import export as export_run
    from mmeval.inference.rows import RowOptions

    result = export_run(
        run,
        output,
        format=format,
        seed=seed,
        plugin=plugin,
        calibrated=not uncalibrated,
        rows=rows,
        table=table,
        options=RowOptions(columns=columns, language=language, images=images, encoding=encoding),
        opset=opset,
    )
    verified = result.verification
    embedding = "" if verified.embedding is None else f", of the embedding {verified.embedding:.1e} (relative)"
    screen = console()
    screen.print(cell(f"Export: {result.folder}"), soft_wrap=True)
    screen.print(
        cell(
            f"Verified on {verified.rows:,} {verified.against}: largest difference of a probability from torch "
            f"{verified.probabilities:.1e}{embedding}, from mmeval predict {verified.predict:.1e}"
        ),
        soft_wrap=True,
    )
