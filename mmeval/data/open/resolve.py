"""What a user types after ``--dataset`` -> the prepared data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmeval.data.card import read_card
from mmeval.data.open.archive import open_archive
from mmeval.data.prepare.prepare import prepare
from mmeval.data.request import Asked, Opened, spec_of
from mmeval.errors import UserError

if TYPE_CHECKING:
    from mmeval.plugin.manager import Manager


def open_data(asked: Asked, manager: Manager, *, download: bool = False) -> Opened:
    """Open the Store of what is asked for; prepare it first where that has not been done.

    Args:
        asked: what was typed.
        manager: knows the plugins.
        download: fetch files that are missing, where that is allowed.

    Raises:
        UserError: no such data set, or it can't be prepared.
    """
    if asked.is_table:
        from mmeval.data.table.resolve import open_table

        return open_table(asked, manager)
    _only_for_tables(asked)
    spec = spec_of(asked.name, manager)
    if spec.archive is None:
        if asked.source:
            raise UserError(f"--source {asked.source}: {spec.name} is made of packages; leave --source out.")
        if not asked.released:
            raise UserError(f"--not-the-release: {spec.name} is made of packages; leave the option out.")
        store = prepare(spec)
    else:
        store = open_archive(spec, asked, download=download)
    return Opened(spec, store, read_card(spec.card).licence if spec.card else "unknown")


def _only_for_tables(asked: Asked) -> None:
    given = {"--columns": asked.columns, "--language": asked.language, "--images": asked.images}
    given |= {"--encoding": asked.encoding}
    for option, value in given.items():
        if value:
            raise UserError(f"{option} {value}: only a table has it; write --dataset table:PATH.")
