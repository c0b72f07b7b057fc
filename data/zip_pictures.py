"""The pictures of a ZIP archive from a stranger, read one at a time into memory within bounds.

No file is written, so that no entry can leave a folder; an archive with a path that would is still
refused, because whoever unpacks it later would be hit.
"""

from __future__ import annotations

import lzma
import posixpath
import zipfile
import zlib
from pathlib import Path

from data.pictures import Pictures, is_picture, leads_out
from models.schema import UserError

MAX_ENTRIES = 250_000
MAX_ARCHIVE_BYTES = 256_000_000_000  # unpacked
MAX_PICTURE_BYTES = 200_000_000  # unpacked; 50 million pixels take 150 MB as they are
MAX_RATIO = 200  # of the bytes unpacked to those packed
RATIO_MATTERS_ABOVE_BYTES = 1_000_000

_ENCRYPTED = 0x1
_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


class ZippedPictures(Pictures):
    """The entries whose names are pictures'; of entries of one name the last, as unpacking has it.

    `unpacked_bytes` is what they have together, as the archive says. UserError where the file is no
    archive, or one that is too large or wants to leave its folder.
    """

    def __init__(self, file: Path):
        try:
            self._archive = zipfile.ZipFile(file)
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise UserError(f"{file} is no ZIP archive: {error}.", "Pack it again.") from None
        entries = [each for each in self._archive.infolist() if not each.is_dir()]
        _check(file, entries)
        by_name = {_safe(file, each.filename): each for each in entries}
        self._entries = {name: each for name, each in by_name.items() if is_picture(name)}
        self.roots = (str(file),)
        self.names = tuple(sorted(self._entries))
        self.others = len(by_name) - len(self.names)
        self.unpacked_bytes = sum(each.file_size for each in self._entries.values())

    def open(self, name: str) -> bytes:
        """The bytes of a picture; UserError where they are too many, encrypted or damaged."""
        entry = self._entries[name]
        if entry.flag_bits & _ENCRYPTED:
            raise UserError(f"{name} is encrypted.", "Pack it without a password.")
        packed, unpacked = max(entry.compress_size, 1), entry.file_size
        is_bomb = unpacked > RATIO_MATTERS_ABOVE_BYTES and unpacked > MAX_RATIO * packed
        if unpacked > MAX_PICTURE_BYTES or is_bomb:
            raise UserError(
                f"{name} has {unpacked / 1e6:.0f} MB, packed into {packed / 1e6:.1f} MB.",
                f"A picture may have {MAX_PICTURE_BYTES / 1e6:.0f} MB, {MAX_RATIO} times the "
                "packed ones.",
            )
        try:
            with self._archive.open(entry) as stream:
                return stream.read()  # no more than the size that was checked
        except (*_DAMAGE, NotImplementedError) as error:
            raise UserError(
                f"{name} is damaged in the archive: {error}.", "Pack it again."
            ) from None


def _check(file: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise UserError(
            f"{file} has {len(entries)} files.", f"Use at most {MAX_ENTRIES} in an archive."
        )
    unpacked = sum(each.file_size for each in entries)
    if unpacked > MAX_ARCHIVE_BYTES:
        raise UserError(
            f"{file} has {unpacked / 1e9:.0f} GB unpacked.",
            f"Use at most {MAX_ARCHIVE_BYTES / 1e9:.0f} GB in an archive.",
        )


def _safe(file: Path, name: str) -> str:
    """The name with `/` between its parts; UserError where it leads out of a folder."""
    if leads_out(name):
        raise UserError(
            f"{file} has an entry {name[:80]!r}, which leads out of its folder.",
            "Pack the pictures again, or unpack only archives that you trust.",
        )
    return posixpath.normpath(name.replace("\\", "/"))
