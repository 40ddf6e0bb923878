"""Strict readers of tables, archives and image files, for the authors of data sets.

A data set that a plugin brings reads its source files with these functions::

    from mmeval import Rejected
    from mmeval.data.reading import open_file, read_delimited

    with open_file(folder / "train.csv.gz") as stream:
        for row in read_delimited(stream, "train.csv.gz", required=["id", "title"]):
            if isinstance(row, Rejected):
                yield row  # a record that can't be used; mmeval counts and lists these
            else:
                row.number, row.cells["title"]

All readers treat their input as untrusted. They stream, so that memory does not grow with the file; they bound lines,
cells and unpacked sizes; they guess nothing (no encoding, no type, no missing value). Damage raises
:class:`mmeval.DataError` with a sentence that names the file and the row; a bad record in a good file is yielded as
:class:`mmeval.Rejected`.

Tables: :func:`read_table` (by the file's ending), :func:`read_delimited`, :func:`read_json_lines`,
:func:`read_parquet`, :func:`parquet_columns`, :func:`parquet_rows`; records are :class:`Row`, and
:func:`require_columns` checks a header.

Files and archives: :func:`open_file` (unpacks ``.gz``) and :func:`read_image`; :class:`ZipIndex` lists a zip file, and
:func:`open_member` and :func:`read_member` read its members in place.
"""

from mmeval.data.reading.delimited import read_delimited
from mmeval.data.reading.files import open_file, read_image, read_table
from mmeval.data.reading.json_lines import read_json_lines
from mmeval.data.reading.parquet import parquet_columns, parquet_rows, read_parquet
from mmeval.data.reading.row import Row, require_columns
from mmeval.data.reading.zip_index import ZipIndex, open_member, read_member

__all__ = [
    "Row",
    "ZipIndex",
    "open_file",
    "open_member",
    "parquet_columns",
    "parquet_rows",
    "read_delimited",
    "read_image",
    "read_json_lines",
    "read_member",
    "read_parquet",
    "read_table",
    "require_columns",
]
