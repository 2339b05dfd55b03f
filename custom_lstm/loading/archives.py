"""The archive that a model file is: its members, read whole or refused."""

import json
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

from custom_lstm.files import verify_checksum

LARGEST_MODEL = 2**33
"""Bytes of all members together, unpacked: 8 GiB."""
LARGEST_TEXT = 2**26
"""Bytes of a member in JSON: 64 MiB."""
MOST_EXPANSION = 20
"""Times that an unpacked member may be larger than it is in the archive, beyond
`EXEMPT` bytes. Keras packs nothing; deflated weights shrink to a half at best."""
EXEMPT = 2**20
MOST_MEMBERS = 10_000

NEEDED = ("metadata.json", "config.json", "model.weights.h5")
_ASSET = re.compile(r"assets(/[^/\\:\0]+)+/?")
_END = b"PK\5\6"  # of the archive's last record, 22 bytes long without a comment
_KINDS = {
    b"\x89HDF": "an HDF5 file, as Keras wrote models of old",
    b"\x80": "a pickle",
}


def read_members(path: Path) -> dict[str, bytes]:
    """Read the parts of a model file that are needed.

    Args:
        path: the file, whose name ends in `.keras`.

    Returns:
        The content of the members `NEEDED`. That of all others agrees with its
        checksum.

    Raises:
        ValueError: the file is no archive of a model, or damaged; or a member has an
            unknown name, stands there twice, leads out of the archive or is
            absurdly large.
        OSError: the file cannot be read.
        zipfile.BadZipFile, zlib.error, EOFError, RuntimeError: it is damaged.
    """
    _check_kind(path)
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        _check_members(infos, path.stat().st_size)
        members = {}
        for info in infos:
            with archive.open(info) as member:  # checks the checksum at its end
                if info.filename in NEEDED:
                    members[info.filename] = member.read()
                    continue
                while member.read(2**20):
                    pass
    for name in NEEDED:
        if name not in members:
            raise ValueError(f"it holds no {name}")
    return members


def parse_json(name: str, text: bytes) -> dict[str, Any]:
    """Parse a member.

    Raises:
        ValueError: it is no JSON object, or nested too deeply.

    Example:

    >>> parse_json("config.json", b'{"units": 3}')
    {'units': 3}
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {name} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"its {name} is no JSON object")
    return content


def check_sizes(path: Path, free: int) -> None:
    """Check that Keras can unpack what the archive holds besides `NEEDED`.

    Args:
        path: a file that `read_members` accepts.
        free: bytes on the disk of temporary files, to which Keras unpacks the
            archive if it has more members.

    Raises:
        ValueError: there is no room.
    """
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        size = sum(info.file_size for info in infos)
    if len(infos) > len(NEEDED) and size > free:
        raise ValueError(f"unpacked it has {size} bytes, and {free} are free")


def _check_kind(path: Path) -> None:
    if path.is_dir():
        raise ValueError("it is a folder, not a .keras file")
    if not path.exists():
        raise ValueError("there is no such file")
    if not path.is_file():
        raise ValueError("it is no ordinary file")
    if path.suffix != ".keras":
        raise ValueError("its name does not end in .keras")
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, path.stat().st_size - 22))
        end = file.read()
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            raise ValueError(f"it is {kind}, not a .keras file")
    if start != b"PK\3\4":
        raise ValueError("it is no zip archive, as .keras files are")
    if not (end.startswith(_END) and end.endswith(b"\0\0")):
        verify_checksum(path)


def _check_members(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Check all that the archive's directory says, before anything is unpacked."""
    if len(infos) > MOST_MEMBERS:
        raise ValueError(f"it has {len(infos)} members, more than {MOST_MEMBERS}")
    names = set()
    for info in infos:
        _check_member(info)
        if info.filename in names:
            raise ValueError(f"it holds {info.filename} twice")
        names.add(info.filename)
    unpacked = sum(info.file_size for info in infos)
    if unpacked > LARGEST_MODEL:
        raise ValueError(f"unpacked it has {unpacked} bytes, over {LARGEST_MODEL}")
    if sum(info.compress_size for info in infos) > size:
        raise ValueError("its members have more bytes than the file")


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = name.rstrip("/").split("/")
    if name not in NEEDED and (not _ASSET.fullmatch(name) or {".", ".."} & {*parts}):
        raise ValueError(f"it holds {name[:80]!r}, which is no part of a model")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if name.endswith("/") else stat.S_IFREG):
        raise ValueError(f"its member {name} is no ordinary file")
    if info.flag_bits & 1:
        raise ValueError(f"its member {name} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its member {name} is packed in an unusual way")
    if name.endswith(".json") and info.file_size > LARGEST_TEXT:
        raise ValueError(f"its {name} has {info.file_size} bytes, over {LARGEST_TEXT}")
    if (
        info.compress_type == zipfile.ZIP_STORED
        and info.file_size != info.compress_size
    ):
        raise ValueError(f"its member {name} has two sizes")
    if info.file_size > EXEMPT + MOST_EXPANSION * info.compress_size:
        raise ValueError(
            f"its member {name} grows from {info.compress_size} to "
            f"{info.file_size} bytes"
        )
