"""Generator of art4apps: two small Debian packages with invented drawings and words, as ``.deb`` files or unpacked."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

PYSIOGAME, GCOMPRIS = "pysiogame_4.20.01-1_all.deb", "gcompris-qt-data_3.1-2_all.deb"
GAME = "usr/share/games/pysiogame"
WORDS = f"{GAME}/i18n/custom/a4a_words.py"
LISTS = f"{GAME}/i18n/custom/a4a_py"
DRAWINGS = f"{GAME}/res/images/art4apps"
RCC = "usr/share/gcompris-qt/rcc/lang.rcc"
RESOURCES = "gcompris/src/activities/lang/resource"
RAW, ZLIB, FOLDER, ZSTD = 0, 1, 2, 4
"""Flags of the entries of a Qt resource file."""
COLOURS = {"animals": (120, 80, 40), "fruit_n_veg": (210, 60, 60), "jobs": (60, 80, 200)}
STEMS = {"animals": "beast", "fruit_n_veg": "fruit", "jobs": "worker"}
PER_CLASS = 16
IDS = {
    category: [f"{stem} {number}" if number % 5 == 4 else f"{stem}{number}" for number in range(PER_CLASS)]
    for category, stem in STEMS.items()
}
"""Ids by category as pySioGame writes them; every fifth has two words."""
NO_DRAWING, NO_ID = "to sneak", "sneak"
"""An id without a drawing, and a drawing without an id: the published ones differ in six cases."""
TWINS = ("beast0", "worker0")
"""Drawings of two classes with the same bytes."""
BOTH, ONLY_PYSIOGAME, ONLY_GCOMPRIS = ("de", "el", "en_GB"), ("bg", "lkt"), ("ca@valencia", "en", "et", "pt", "pt_BR")
"""Languages by the package that has their words."""
LEFT_OUT_LISTS, LEFT_OUT_JSON = ("_bg_old", "bs", "en_US"), ("be", "gd")
"""Languages that mmeval does not read."""
ONLY_IN_LISTS = ("fruit 14", "fruit15")
"""Drawings without a word of GCompris."""
UNTRANSLATED = "beast1"
"""A drawing whose word is untranslated in ``bg`` (begins with ``<``) and in ``et`` (empty)."""


def write(folder: Path, form: str = "deb", *, compression: str = "xz", seed: int = 0) -> Path:
    """Write both packages, and return ``folder``: the value of ``--source``.

    Args:
        folder: where they are written; created if it is missing.
        form: ``deb``; ``unpacked``, both in ``folder``; ``folders``, each in a sub-folder.
        compression: of the ``.deb`` files: ``xz``, ``gz``, ``zst`` or empty.
        seed: changes the drawings.
    """
    packages = {PYSIOGAME: pysiogame_files(seed), GCOMPRIS: gcompris_files()}
    for name, files in packages.items():
        if form == "deb":
            write_deb(folder / name, files, compression)
        else:
            unpack(folder if form == "unpacked" else folder / name.partition("_")[0], files)
    return folder


def unpack(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a package into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def pysiogame_files(seed: int = 0) -> dict[str, bytes]:
    """Return the files of pysiogame by path."""
    rng = np.random.default_rng(seed)
    files = {f"{DRAWINGS}/{category}/{file_name(name)}.jpg": jpeg(rng, category) for category, name in drawings()}
    files[f"{DRAWINGS}/jobs/{NO_ID}.jpg"] = jpeg(rng, "jobs")
    files[f"{DRAWINGS}/jobs/{TWINS[1]}.jpg"] = files[f"{DRAWINGS}/animals/{TWINS[0]}.jpg"]
    ids = {category: list(names) for category, names in IDS.items()}
    ids["jobs"].append(NO_DRAWING)
    files[WORDS] = python_file(ids)
    files[f"{LISTS}/__init__.py"] = b"# -*- coding: utf-8 -*-\n"
    for locale in (*BOTH, *ONLY_PYSIOGAME, *LEFT_OUT_LISTS):
        words = {category: [word("pysiogame", locale, name) for name in names] for category, names in ids.items()}
        if locale == "bg":
            words["animals"][IDS["animals"].index(UNTRANSLATED)] = f"<{UNTRANSLATED}>"
            words["animals"][2] = f" {words['animals'][2]} "
        if locale == "de":
            words["animals"][3] = "<beast3>"
        if locale == "bs":
            words["jobs"] = words["jobs"][:-3]
        files[f"{LISTS}/{locale}.py"] = python_file(words)
    # Beside the lists, the package has programs, which must not run.
    files[f"{GAME}/i18n/custom/a4a_po2py.py"] = b"raise SystemExit('executed')\n"
    files[f"{GAME}/eduactiv8.py"] = b"raise SystemExit('executed')\n"
    return files


def gcompris_files(version: int = 3) -> dict[str, bytes]:
    """Return the files of gcompris-qt-data by path."""
    entries: dict[str, tuple[int, bytes]] = {
        "gcompris/src/activities/lang/Lang.qml": (RAW, b"import QtQuick 2.12\n"),
        f"{RESOURCES}/words.json": (RAW, b"[]"),
        f"{RESOURCES}/datasetToPo.py": (ZLIB, b"raise SystemExit('executed')\n"),
    }
    names = [name for _, name in drawings() if file_name(name) not in map(file_name, ONLY_IN_LISTS)]
    for number, locale in enumerate((*BOTH, *ONLY_GCOMPRIS, *LEFT_OUT_JSON)):
        words = {f"{name.replace(' ', '-')}.ogg": word("gcompris", locale, name) for name in names}
        words["no-drawing-at-all.ogg"] = word("gcompris", locale, "nothing")
        if locale == "et":
            words[f"{UNTRANSLATED}.ogg"] = ""
        kind = (ZLIB, RAW, ZSTD if version == 3 else ZLIB)[number % 3]
        content = json.dumps(words, ensure_ascii=False, indent=4).encode()
        entries[f"{RESOURCES}/content-{locale}.json"] = (kind, content)
    return {RCC: rcc_file(entries, version), "usr/share/gcompris-qt/rcc/other.rcc": b"qres"}


def drawings() -> list[tuple[str, str]]:
    """Return category and id of each drawing that has both."""
    return [(category, name) for category, names in IDS.items() for name in names]


def file_name(name: str) -> str:
    """Return the file name of the drawing of an id, without its ending."""
    return name.replace(" ", "_")


def word(package: str, locale: str, name: str) -> str:
    """Return the word of a drawing; both packages have different words for it."""
    return f"{'' if package == 'pysiogame' else 'the '}{name} in {locale} ñ"


def python_file(lists: Mapping[str, Sequence[str]]) -> bytes:
    """Return a word list as pySioGame's programs write it."""
    lines = [f'd["a4a_{category}"] = {list(words)!r}\n' for category, words in lists.items()]
    return ("# -*- coding: utf-8 -*-\n\nd = dict()\n" + "".join(lines)).encode()


def jpeg(rng: np.random.Generator, category: str) -> bytes:
    """Return a drawing of 40 x 40 pixels in the colour of its class."""
    pixels = np.clip(np.array(COLOURS[category]) + rng.normal(0, 25, (40, 40, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()


def tar_file(files: Mapping[str, bytes], more: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """Return a tar archive with the names that dpkg writes (``./usr/...``), then members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        folders = sorted({str(parent) for name in files for parent in Path(name).parents})
        for folder in folders:
            member = tarfile.TarInfo("./" if folder == "." else f"./{folder}/")
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name if name.startswith(("/", "..")) else f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in more:
            archive.addfile(member)
    return buffer.getvalue()


def compressed(data: bytes, compression: str) -> bytes:
    """Return data compressed with xz, gz or zst, or as it is."""
    if compression == "xz":
        return lzma.compress(data, preset=1)
    if compression == "gz":
        return gzip.compress(data)
    return zstd(data) if compression == "zst" else data


def zstd(data: bytes) -> bytes:
    """Return data as a zstd frame."""
    return pa.Codec("zstd").compress(data, asbytes=True)


def write_deb(
    path: Path, files: Mapping[str, bytes], compression: str = "xz", more: Sequence[tarfile.TarInfo] = ()
) -> Path:
    """Write a Debian package (deb(5)) with some files, and members without content."""
    control = {"control": f"Package: {path.name.partition('_')[0]}\nVersion: 1\nArchitecture: all\n".encode()}
    suffix = f".{compression}" if compression else ""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": compressed(tar_file(control), "xz"),
        f"data.tar{suffix}": compressed(tar_file(files, more), compression),
    }
    return write_ar(path, members)


def write_ar(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write an ``ar`` archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"!<arch>\n"
    for name, content in members.items():
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        data += b"\n" * (len(content) % 2)
    path.write_bytes(data)
    return path


def rcc_file(entries: Mapping[str, tuple[int, bytes]], version: int = 3) -> bytes:
    """Return a Qt resource file as Qt's rcc writes it: folders and files in the order of their hashes.

    Args:
        entries: flag (``RAW``, ``ZLIB``, ``ZSTD``) and unpacked content by path.
        version: of the format: 1, 2 or 3.
    """
    root: dict[str, object] = {}
    for path, entry in entries.items():
        *folders, name = path.split("/")
        here = root
        for folder in folders:
            here = here.setdefault(folder, {})  # type: ignore[assignment]
        here[name] = entry
    nodes: list[tuple[str, object]] = [("", root)]
    first: dict[int, int] = {}
    for number, (_, content) in enumerate(nodes):  # grows while it is read: breadth first
        if isinstance(content, dict):
            first[number] = len(nodes)
            nodes.extend(sorted(content.items(), key=lambda item: qt_hash(item[0])))
    names, contents, tree = b"", b"", b""
    offsets: dict[str, int] = {}
    for number, (name, content) in enumerate(nodes):
        if name not in offsets and name:
            offsets[name] = len(names)
            names += struct.pack(">HI", len(name), qt_hash(name)) + name.encode("utf-16-be")
        offset = offsets.get(name, 0)
        if isinstance(content, dict):
            tree += struct.pack(">IHII", offset, FOLDER, len(content), first[number])
        else:
            flag, data = content
            tree += struct.pack(">IHHHI", offset, flag, 0, 1, len(contents))
            packed = len(data).to_bytes(4, "big") + zlib.compress(data, 9) if flag == ZLIB else data
            packed = zstd(data) if flag == ZSTD else packed
            contents += struct.pack(">I", len(packed)) + packed
        tree += struct.pack(">Q", 0) if version > 1 else b""
    begins = 24 if version == 3 else 20
    numbers = (version, begins + len(contents) + len(names), begins, begins + len(contents))
    flags = struct.pack(">I", ZLIB) if version == 3 else b""
    return b"qres" + struct.pack(">4I", *numbers) + flags + contents + names + tree


def qt_hash(name: str) -> int:
    """Return the hash of a name in a Qt resource file (``qt_hash`` in Qt's qhash.cpp)."""
    value = 0
    for character in name:
        value = (value << 4) + ord(character)
        value ^= (value & 0xF0000000) >> 23
        value &= 0x0FFFFFFF
    return value
