"""Names of art4apps: its language variants, and messages for its users."""

from __future__ import annotations

NAME = "art4apps"
CREDIT = (
    "Drawings: art4apps project (http://www.art4apps.org), CC BY-SA 3.0. "
    "Words: pySioGame (eduActiv8) and GCompris, GPL-3.0-or-later"
)
GET = (
    "Get both packages with `apt-get download pysiogame gcompris-qt-data` on Debian 12 (pysiogame 4.20.01-1, 16.3 MB; "
    "gcompris-qt-data 3.1-2, 44.2 MB), put the two .deb files in one folder, then type "
    f"`mmeval data prepare {NAME} --source FOLDER`."
)
_LOCALES = (
    "ar az bg br ca ca@valencia cs da de el en en_GB es et eu fi fr ga gl he hr hu id it ka lkt lt mk ml nl nn pl pt "
    "pt_BR ro ru sk sl sq sv tr uk zh_CN zh_TW"
)
LOCALES = tuple(_LOCALES.split())
"""Language variants, named as the word lists of both packages are. Each has a word for at least 480 drawings.

Left out: ``be``, ``gd`` and ``hi`` (at most 359 words), ``en_US`` (pySioGame; GCompris's ``en`` is American English),
``bs`` (a copy of ``bg`` whose lists have other lengths) and ``_bg_old``.
"""
GLAMI12 = "glami12"
GLAMI12_LOCALES = ("bg", "cs", "el", "es", "et", "hr", "hu", "lt", "ro", "sk", "sl", "tr")
"""The languages of GLAMI-1M without Latvian, in which the packages have no words."""
VARIANTS = {GLAMI12: "only the 12 languages that are also in GLAMI-1M (all of its languages except Latvian)"}


def language_of(locale: str) -> str:
    """Return the ISO 639 code of a language variant: ``pt_BR`` and ``pt`` are ``pt``."""
    return locale.partition("_")[0].partition("@")[0]
