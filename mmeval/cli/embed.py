"""The command ``mmeval embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmeval.cli.options import Device
from mmeval.cli.predict import (
    BatchSize,
    Columns,
    Encoding,
    EngineName,
    Images,
    Language,
    PluginFile,
    Seed,
    ShardOption,
    Workers,
)

NEIGHBOURS = "Neighbours"
"""Title of a box in which help shows options."""


def embed(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or owner/name on the Hub.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Table, or a folder of tables, to embed.")],
    output: Annotated[Path, typer.Option(help="Parquet file to write.", show_default=False)],
    columns: Columns = "",
    language: Language = "",
    images: Images = None,
    encoding: Encoding = "",
    neighbours: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Add the K nearest rows of the reference to each row.",
            show_default=False,
            rich_help_panel=NEIGHBOURS,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Embeddings of this model (.parquet), or a table to embed with it.",
            show_default="TABLE itself",
            rich_help_panel=NEIGHBOURS,
        ),
    ] = None,
    seed: Seed = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    shard: ShardOption = "1/1",
    engine: EngineName = "process",
    workers: Workers = None,
    plugin: PluginFile = None,
) -> None:
    """Embed the rows of a table: the fused vector of image and text, in half precision.

    Needs no labels. Neighbours are exact, by cosine similarity; a row is not its own neighbour. Repeat an interrupted
    command to continue it.
    """
    from mmeval.console import cell, console
    from mmeval.inference.embed import embed_file
    from mmeval.inference.load import load
    from mmeval.inference.predict import Shard
    from mmeval.inference.ray import RayEngine
    from mmeval.inference.rows import RowOptions

    part, cluster = Shard.parse(shard), RayEngine.parse(engine, workers, plugin)
    tally = embed_file(
        load(run, seed=seed, device=device, plugin=plugin),
        table,
        output,
        rows=RowOptions(columns=columns, language=language, images=images, encoding=encoding),
        neighbours=neighbours,
        reference=reference,
        batch_size=batch_size,
        shard=part,
        engine=cluster,
    )
    console().print(cell(f"Embeddings: {output} ({tally.rows:,} rows, {tally.rejected:,} rejected)"), soft_wrap=True)
