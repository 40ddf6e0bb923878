"""Zip files: damaged and malicious ones are refused with a message; others are read as `zipfile` reads them."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval.data.reading import ZipIndex, open_member, read_member
from mmeval.errors import DataError

Edit = Callable[[bytearray], None]


def write_zip(path: Path, members: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def edited(path: Path, edit: Edit) -> Path:
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)
    return path


def entry(data: bytearray, number: int = 0) -> int:
    """Return the offset of a directory entry."""
    return [match.start() for match in re.finditer(b"PK\1\2", data)][number]


def refusal(path: Path) -> str:
    """Return the message of opening a file, without its path."""
    with pytest.raises(DataError) as caught:
        ZipIndex(path)
    return str(caught.value).replace(str(path), "FILE")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "two.zip", {"a.txt": b"first " * 20, "b.txt": b"second " * 20})


CUT = "FILE is not a complete zip file ({}); a download that was cut short looks like this: fetch it again."


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda data: data.__delitem__(slice(-60, None)), "its end is missing"),
        (lambda data: data.__delitem__(slice(None)), "its end is missing"),
        (lambda data: data.__setitem__(slice(None), b"<html>404</html>" * 9), "its end is missing"),
        (lambda data: data.__delitem__(slice(20, 40)), "a part of it is missing"),
        (lambda data: data.__setitem__(slice(-10, -6), b"\xff\xff\0\0"), "a part of it is missing"),
        (lambda data: data.__setitem__(slice(-18, -16), b"\1\0"), "a part of it is missing"),
        (lambda data: data.__setitem__(slice(-12, -10), b"\xff\xff"), "its directory is damaged"),
        (lambda data: data.__setitem__(entry(data), 0), "its directory is damaged"),
        (lambda data: data.__setitem__(entry(data) + 29, 255), "its directory is damaged"),
        (
            lambda data: data.__setitem__(slice(entry(data) + 42, entry(data) + 46), b"\xff" * 4),
            "its directory is damaged",
        ),
    ],
    ids=["truncated", "empty", "page", "middle", "longer", "disk", "count", "signature", "name", "zip64"],
)
def test_incomplete_files_are_refused(two: Path, edit: Edit, reason: str) -> None:
    """Else a download that broke off ends in a traceback, or in a data set with fewer rows."""
    assert refusal(edited(two, edit)) == CUT.format(reason)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.zip") == "There is no file FILE."


@pytest.mark.parametrize("name", ["../up.jpg", "/etc/passwd", "a/../../b", "C:/x", "a\\..\\b", "\\\\host\\x"])
def test_a_member_name_that_leads_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    """Unpacking such an archive would overwrite files elsewhere."""
    path = write_zip(tmp_path / "out.zip", {"good.jpg": b"x", name: b"x"})
    rest = "which points out of the archive; get the file from its publisher."
    assert refusal(path) == f'FILE holds the member "{name}", {rest}'


@pytest.mark.parametrize("name", ["a..b.jpg", "..a/b", "a/b../c", "...", "5.jpg..", "folder/"])
def test_other_dots_in_a_name_are_allowed(tmp_path: Path, name: str) -> None:
    assert len(ZipIndex(write_zip(tmp_path / "dots.zip", {name: b""}))) == 1


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("images/1.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "link.zip", {link: b"/etc/passwd"})
    assert refusal(path) == 'FILE holds the member "images/1.jpg", which is a link; get the file from its publisher.'


def test_an_encrypted_member_is_refused(two: Path) -> None:
    path = edited(two, lambda data: data.__setitem__(entry(data, 1) + 8, 1))
    assert refusal(path) == 'FILE holds the member "b.txt", which is encrypted; get the file from its publisher.'


def test_members_that_overlap_are_refused(two: Path) -> None:
    """Non-recursive bombs have many entries for the same bytes: a few megabytes become petabytes."""

    def point_to_the_first(data: bytearray) -> None:
        struct.pack_into("<L", data, entry(data, 1) + 42, 0)

    path = edited(two, point_to_the_first)
    assert (
        refusal(path) == 'FILE holds the member "a.txt", which overlaps with another; get the file from its publisher.'
    )


def test_a_member_that_reaches_into_the_directory_is_refused(two: Path) -> None:
    path = edited(two, lambda data: struct.pack_into("<L", data, entry(data, 1) + 20, 1000))
    assert (
        refusal(path) == 'FILE holds the member "b.txt", which overlaps with another; get the file from its publisher.'
    )


def reading_error(path: Path) -> str:
    """Return the message of reading the first member, with a limit of 1,000 bytes."""
    index = ZipIndex(path)
    with pytest.raises(DataError) as caught:
        read_member(index, 0, limit=1000)
    return str(caught.value)


def test_a_member_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """An image of a few kilobytes could fill the memory."""
    path = write_zip(tmp_path / "bomb.zip", {"1.jpg": bytes(10_000_000)})
    assert reading_error(path) == "1.jpg in the zip file holds more than 1,000 bytes"


def test_a_bomb_that_declares_a_small_size_is_damaged(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "liar.zip", {"1.jpg": bytes(10_000_000)})
    edited(path, lambda data: struct.pack_into("<L", data, entry(data) + 24, 500))
    assert reading_error(path) == "1.jpg in the zip file is damaged (Bad CRC-32 for file '1.jpg')"


def test_a_damaged_member_is_refused(two: Path) -> None:
    edited(two, lambda data: data.__setitem__(slice(35, 45), b"\xff" * 10))
    assert reading_error(two).startswith("a.txt in the zip file is damaged (Error -3 while decompressing data: ")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_is_noticed(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "bit.zip", {"1.txt": b"0123456789"}, method)
    edited(path, lambda data: data.__setitem__(entry(data) + 16, data[entry(data) + 16] ^ 1))
    assert reading_error(path) == "1.txt in the zip file is damaged (Bad CRC-32 for file '1.txt')"


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda data: data.__setitem__(0, 0), "it does not begin where the directory says"),
        (lambda data: data.__setitem__(30, ord("c")), "it has another name than in the directory"),
        (lambda data: data.__setitem__(entry(data) + 10, 9), "That compression method is not supported"),
    ],
    ids=["signature", "name", "method"],
)
def test_a_member_that_differs_from_its_directory_entry_is_refused(two: Path, edit: Edit, reason: str) -> None:
    index = ZipIndex(edited(two, edit))
    with pytest.raises(DataError) as caught:
        read_member(index, 0)
    assert str(caught.value) == f"a.txt in the zip file is damaged ({reason})"


def test_damage_found_while_streaming_is_a_data_error(tmp_path: Path) -> None:
    """Tables are streamed, so that damage may appear after some rows."""
    path = write_zip(tmp_path / "table.zip", {"t.csv": bytes(range(256)) * 1000}, zipfile.ZIP_STORED)
    edited(path, lambda data: data.__setitem__(100_000, data[100_000] ^ 1))
    with pytest.raises(DataError) as caught, open_member(ZipIndex(path), 0) as stream:
        list(iter(lambda: stream.read(1000), b""))
    assert str(caught.value) == f"t.csv in {path} is damaged (Bad CRC-32 for file 't.csv'); fetch the file again."


def test_an_error_of_the_caller_passes_through(two: Path) -> None:
    """A full disk must not be reported as a damaged download."""
    with pytest.raises(OSError, match="No space left"), open_member(ZipIndex(two), 0):
        raise OSError(28, "No space left on device")


def test_members_with_the_same_name_can_all_be_read(tmp_path: Path) -> None:
    """GLAMI's archive of the test split repeats names, and `zipfile` finds only the last member of a name."""
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.jpg", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("1.jpg", b"two")
    index = ZipIndex(path)
    assert [read_member(index, number) for number in range(len(index))] == [b"one", b"two"]


@given(
    st.lists(st.tuples(st.text("abcé/ž0", min_size=1).map(lambda name: f"x{name}"), st.binary()), max_size=8),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.binary(max_size=40),
    st.binary(max_size=40).filter(lambda comment: b"PK" not in comment),
    st.booleans(),
)
def test_names_and_contents_equal_those_of_zipfile(
    tmp_path_factory: pytest.TempPathFactory,
    members: list[tuple[str, bytes]],
    method: int,
    before: bytes,
    comment: bytes,
    large: bool,
) -> None:
    """With names in any script, bytes before the zip file, a comment, and ZIP64 members."""
    path, buffer = tmp_path_factory.mktemp("zips") / "some.zip", io.BytesIO()
    buffer.write(before)
    with zipfile.ZipFile(buffer, "a", method) as archive:
        for number, (name, data) in enumerate(members):
            with archive.open(zipfile.ZipInfo(f"{number}{name}"), "w", force_zip64=large) as file:
                file.write(data)
        archive.comment = comment
    path.write_bytes(buffer.getvalue())
    index = ZipIndex(path)
    with zipfile.ZipFile(path) as archive:
        assert [index.name(number) for number in range(len(index))] == [
            info.orig_filename for info in archive.infolist()
        ]
        expected = [archive.read(info) for info in archive.infolist()]
    assert [read_member(index, number) for number in range(len(index))] == expected


def as_large(path: Path, extra_before: bytes = b"") -> None:
    """Write the two members' offsets and sizes in 64 bits, as in a file of more than 4 GiB."""
    data = path.read_bytes()
    first, second = entry(bytearray(data)), entry(bytearray(data), 1)
    end, directory = data.index(b"PK\5\6"), b""
    for start, stop in ((first, second), (second, end)):
        record = bytearray(data[start:stop])
        compressed, size, offset = *struct.unpack_from("<2L", record, 20), *struct.unpack_from("<L", record, 42)
        extra = extra_before + struct.pack("<2H3Q", 1, 24, size, compressed, offset)
        record[20:28], record[42:46] = b"\xff" * 8, b"\xff" * 4
        struct.pack_into("<H", record, 30, len(extra))
        directory += bytes(record) + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, len(directory), first)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, first + len(directory), 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(data[:first] + directory + end64 + locator + tail)


@pytest.mark.parametrize("before", [b"", b"UT\5\0\1\0\0\0\0", b"UT\5\0\1\0\0\0\0ux\1\0\0"])
def test_members_beyond_4_gigabytes_are_read(two: Path, before: bytes) -> None:
    """GLAMI's zip file has 11.2 GB: the offsets of most members are in an extra field, after other extra fields."""
    as_large(two, before)
    index = ZipIndex(two)
    assert [read_member(index, number) for number in (0, 1)] == [b"first " * 20, b"second " * 20]
    with zipfile.ZipFile(two) as archive:
        assert archive.read("b.txt") == b"second " * 20


def test_a_missing_zip64_field_is_damage(two: Path) -> None:
    as_large(two)
    edited(two, lambda data: data.__setitem__(data.index(b"PK\1\2") + 46 + 5, 2))
    assert refusal(two) == CUT.format("its directory is damaged")


def test_several_threads_can_read_at_once(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "many.zip", {f"{n}.bin": bytes([n]) * 5000 for n in range(200)})
    index = ZipIndex(path)
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda number: read_member(index, number), range(200)))
    assert contents == [bytes([n]) * 5000 for n in range(200)]


def test_the_digest_changes_with_a_member(tmp_path: Path) -> None:
    """A corrected archive must not pass for the one that was prepared before."""
    first, second = (write_zip(tmp_path / f"{data!r}.zip", {"1.jpg": data}) for data in (b"a", b"b"))
    assert ZipIndex(first).digest != ZipIndex(second).digest
    assert ZipIndex(first).digest == ZipIndex(first).digest
    assert zlib.crc32(b"a") != zlib.crc32(b"b")
