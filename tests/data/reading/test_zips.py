"""Zip files come from anywhere: damage and malice are sentences, and the rest is read as `zipfile` reads it."""

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

from mmeval.data.reading.zip_index import ZipIndex
from mmeval.data.reading.zips import open_member, open_zip, read_member
from mmeval.errors import DataError

Edit = Callable[[bytearray], None]


def made(path: Path, members: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
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
    """Where an entry of the directory begins."""
    return [found.start() for found in re.finditer(b"PK\1\2", data)][number]


def said(path: Path) -> str:
    """What both ways of opening say, without the path."""
    messages = set()
    for way in (open_zip, ZipIndex):
        with pytest.raises(DataError) as caught:
            way(path)
        messages.add(str(caught.value).replace(str(path), "FILE"))
    assert len(messages) == 1
    return messages.pop()


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return made(tmp_path / "two.zip", {"a.txt": b"first " * 20, "b.txt": b"second " * 20})


CUT = "FILE is no whole zip file ({}); a download that was cut short looks like this: fetch it again."


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
def test_a_file_that_is_not_whole_is_told(two: Path, edit: Edit, reason: str) -> None:
    """Else a download that broke off ends in a traceback, or in a data set with fewer rows."""
    assert said(edited(two, edit)) == CUT.format(reason)


def test_no_file_is_told(tmp_path: Path) -> None:
    assert said(tmp_path / "none.zip") == "There is no file FILE."


@pytest.mark.parametrize("name", ["../up.jpg", "/etc/passwd", "a/../../b", "C:/x", "a\\..\\b", "\\\\host\\x"])
def test_a_member_that_points_out_is_refused(tmp_path: Path, name: str) -> None:
    """Else whoever unpacks what we vouched for overwrites files outside."""
    path = made(tmp_path / "out.zip", {"good.jpg": b"x", name: b"x"})
    rest = "which points out of the archive; get the file from its publisher."
    assert said(path) == f'FILE holds the member "{name}", {rest}'


@pytest.mark.parametrize("name", ["a..b.jpg", "..a/b", "a/b../c", "...", "5.jpg..", "folder/"])
def test_dots_in_a_name_are_no_way_out(tmp_path: Path, name: str) -> None:
    assert len(ZipIndex(made(tmp_path / "dots.zip", {name: b""}))) == 1


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("images/1.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = made(tmp_path / "link.zip", {link: b"/etc/passwd"})
    assert said(path) == 'FILE holds the member "images/1.jpg", which is a link; get the file from its publisher.'


def test_an_encrypted_member_is_refused(two: Path) -> None:
    path = edited(two, lambda data: data.__setitem__(entry(data, 1) + 8, 1))
    assert said(path) == 'FILE holds the member "b.txt", which is encrypted; get the file from its publisher.'


def test_members_that_overlap_are_refused(two: Path) -> None:
    """Bombs without nesting have many entries for the same bytes: a few megabytes become petabytes."""

    def point_to_the_first(data: bytearray) -> None:
        struct.pack_into("<L", data, entry(data, 1) + 42, 0)

    path = edited(two, point_to_the_first)
    assert said(path) == 'FILE holds the member "a.txt", which overlaps with another; get the file from its publisher.'


def test_a_member_that_reaches_into_the_directory_is_refused(two: Path) -> None:
    path = edited(two, lambda data: struct.pack_into("<L", data, entry(data, 1) + 20, 1000))
    assert said(path) == 'FILE holds the member "b.txt", which overlaps with another; get the file from its publisher.'


def read(path: Path, number: int = 0, limit: int = 1000) -> set[str]:
    """What is said when a member is read, both ways."""
    index, messages = ZipIndex(path), set()
    with open_zip(path) as archive:
        for archive_, member in ((index, number), (archive, archive.infolist()[number])):
            with pytest.raises(DataError) as caught:
                read_member(archive_, member, limit)
            messages.add(str(caught.value))
    return messages


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Else one image of a few kilobytes fills the memory."""
    path = made(tmp_path / "bomb.zip", {"1.jpg": bytes(10_000_000)})
    assert read(path) == {"1.jpg in the zip file holds more than 1,000 bytes"}


def test_a_bomb_that_states_a_small_size_is_damaged(tmp_path: Path) -> None:
    path = made(tmp_path / "liar.zip", {"1.jpg": bytes(10_000_000)})
    edited(path, lambda data: struct.pack_into("<L", data, entry(data) + 24, 500))
    assert read(path) == {"1.jpg in the zip file is damaged (Bad CRC-32 for file '1.jpg')"}


def test_a_damaged_member_is_told(two: Path) -> None:
    """Else a broken image is one that was never there, or wrong pixels."""
    edited(two, lambda data: data.__setitem__(slice(35, 45), b"\xff" * 10))
    (message,) = read(two)
    assert message.startswith("a.txt in the zip file is damaged (Error -3 while decompressing data: ")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_is_told(tmp_path: Path, method: int) -> None:
    path = made(tmp_path / "bit.zip", {"1.txt": b"0123456789"}, method)
    edited(path, lambda data: data.__setitem__(entry(data) + 16, data[entry(data) + 16] ^ 1))
    assert read(path) == {"1.txt in the zip file is damaged (Bad CRC-32 for file '1.txt')"}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda data: data.__setitem__(0, 0), "it does not begin where the directory says"),
        (lambda data: data.__setitem__(30, ord("c")), "it has another name than in the directory"),
        (lambda data: data.__setitem__(entry(data) + 10, 9), "That compression method is not supported"),
    ],
    ids=["signature", "name", "method"],
)
def test_a_member_that_the_directory_describes_wrongly_is_told(two: Path, edit: Edit, reason: str) -> None:
    index = ZipIndex(edited(two, edit))
    with pytest.raises(DataError) as caught:
        read_member(index, 0)
    assert str(caught.value) == f"a.txt in the zip file is damaged ({reason})"


def test_damage_shows_as_a_sentence_while_a_stream_is_read(tmp_path: Path) -> None:
    """Tables are streamed: the damage shows in the midst of their rows."""
    path = made(tmp_path / "table.zip", {"t.csv": bytes(range(256)) * 1000}, zipfile.ZIP_STORED)
    edited(path, lambda data: data.__setitem__(100_000, data[100_000] ^ 1))
    index = ZipIndex(path)
    with open_zip(path) as archive:
        for where, member in ((index, 0), (archive, "t.csv")):
            with pytest.raises(DataError) as caught, open_member(where, member) as stream:
                list(iter(lambda: stream.read(1000), b""))
            words = f"t.csv in {path} is damaged (Bad CRC-32 for file 't.csv'); fetch the file again."
            assert str(caught.value) == words


def test_what_is_not_there_is_told(two: Path) -> None:
    with open_zip(two) as archive:
        with pytest.raises(DataError) as caught:
            read_member(archive, "c.txt")
        assert str(caught.value) == "there is no c.txt in the zip file"
        with pytest.raises(DataError) as caught, open_member(archive, "c.txt"):
            pass
        assert str(caught.value) == f"{two} holds no c.txt."


def test_an_error_of_the_reader_stays_its_own(two: Path) -> None:
    """Else a full disk is told as a damaged download."""
    with pytest.raises(OSError, match="No space left"), open_member(ZipIndex(two), 0):
        raise OSError(28, "No space left on device")


def test_members_of_one_name_are_each_read(tmp_path: Path) -> None:
    """GLAMI's archive of the test split repeats names: by its name alone only the last one can be read."""
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.jpg", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("1.jpg", b"two")
    index = ZipIndex(path)
    assert [read_member(index, number) for number in range(len(index))] == [b"one", b"two"]
    with open_zip(path) as archive:
        assert [read_member(archive, info) for info in archive.infolist()] == [b"one", b"two"]


@given(
    st.lists(st.tuples(st.text("abcé/ž0", min_size=1).map(lambda name: f"x{name}"), st.binary()), max_size=8),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.binary(max_size=40),
    st.binary(max_size=40).filter(lambda comment: b"PK" not in comment),
    st.booleans(),
)
def test_everything_is_read_as_zipfile_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    members: list[tuple[str, bytes]],
    method: int,
    before: bytes,
    comment: bytes,
    large: bool,
) -> None:
    """Names of any script, bytes before the zip file, a comment, members in the 64-bit form."""
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
    """Write the two members' places and sizes in 64 bits, as in a file of more than 4 GiB."""
    data = path.read_bytes()
    first, second = entry(bytearray(data)), entry(bytearray(data), 1)
    end, directory = data.index(b"PK\5\6"), b""
    for start, stop in ((first, second), (second, end)):
        one = bytearray(data[start:stop])
        packed, size, offset = *struct.unpack_from("<2L", one, 20), *struct.unpack_from("<L", one, 42)
        extra = extra_before + struct.pack("<2H3Q", 1, 24, size, packed, offset)
        one[20:28], one[42:46] = b"\xff" * 8, b"\xff" * 4
        struct.pack_into("<H", one, 30, len(extra))
        directory += bytes(one) + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, len(directory), first)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, first + len(directory), 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(data[:first] + directory + end64 + locator + tail)


@pytest.mark.parametrize("before", [b"", b"UT\5\0\1\0\0\0\0", b"UT\5\0\1\0\0\0\0ux\1\0\0"])
def test_places_beyond_4_gigabytes_are_read(two: Path, before: bytes) -> None:
    """GLAMI's zip file has 11.2 GB: most of its members have their places in an extra field, behind others."""
    as_large(two, before)
    index = ZipIndex(two)
    assert [read_member(index, number) for number in (0, 1)] == [b"first " * 20, b"second " * 20]
    with zipfile.ZipFile(two) as archive:
        assert archive.read("b.txt") == b"second " * 20


def test_an_extra_field_without_the_place_is_damage(two: Path) -> None:
    as_large(two)
    edited(two, lambda data: data.__setitem__(data.index(b"PK\1\2") + 46 + 5, 2))
    assert said(two) == CUT.format("its directory is damaged")


def test_threads_read_at_once(tmp_path: Path) -> None:
    """Else images get each other's bytes."""
    path = made(tmp_path / "many.zip", {f"{n}.bin": bytes([n]) * 5000 for n in range(200)})
    index = ZipIndex(path)
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda number: read_member(index, number), range(200)))
    assert contents == [bytes([n]) * 5000 for n in range(200)]


def test_the_digest_changes_with_a_member(tmp_path: Path) -> None:
    """Else a corrected archive is taken for the one that was prepared before."""
    one, two = (made(tmp_path / f"{data!r}.zip", {"1.jpg": data}) for data in (b"a", b"b"))
    assert ZipIndex(one).digest != ZipIndex(two).digest
    assert ZipIndex(one).digest == ZipIndex(one).digest
    assert zlib.crc32(b"a") != zlib.crc32(b"b")
