"""Named arrays in a .npz file, read without trusting it: sizes are known before an array is read, no code can run.

Every number counts 8 bytes, whatever type it has in the file: that is what a model makes of it.
"""

import io
import math
import re
import zipfile
import zlib
from typing import NamedTuple

import numpy as np

from mdvi.mdp.formats.text import shown
from mdvi.mdp.memory import memory_left

# What NumPy writes for arrays of numbers and of text. Objects and records look different, and are not read.
_HEADER = (
    r"\{'descr': '([<>|=]?)([biufU])([0-9]{1,4})', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,18}(?:, ?[0-9]{1,18}){0,3},?)?)\),? ?\}\s*"
)
_LONGEST_HEADER = 4096
_COPIES = 4  # of the arrays, while a model is built of them and checked
_SMALL = 2**26  # bytes that are always tried
_PIECE = 2**20  # bytes that are unpacked at once
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, OverflowError)


class _Header(NamedTuple):
    """What a .npy member says of its array, and where the numbers begin."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def memory(self) -> int:
        """Bytes that the array takes in a model."""
        return self.size * max(self.dtype.itemsize, 8)


def names(data: bytes) -> list[str]:
    """The names of the arrays."""
    with _archive(data) as archive:
        return list(_members(archive, len(data)))


def load(data: bytes, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that are there, in native byte order.

    Raises:
        ValueError: for anything but arrays of numbers or text, and for arrays that do not fit into the memory that is
            left; this is known before any of them is read.
    """
    arrays = {}
    try:
        with _archive(data) as archive:
            members = {name: member for name, member in _members(archive, len(data)).items() if name in wanted}
            headers = {name: _header(archive, name, member) for name, member in members.items()}
            needed, left = _COPIES * sum(header.memory for header in headers.values()), memory_left()
            if needed > max(left, _SMALL):
                raise ValueError(
                    f"a model of these arrays does not fit into memory: it takes {needed / 2**30:.1f} GiB, "
                    f"{left / 2**30:.1f} GiB are left"
                )
            for name, header in headers.items():
                arrays[name] = _array(archive, members[name], header)
    except _DAMAGE as error:
        raise ValueError(f"the .npz file is damaged: {error}") from None
    return arrays


def save(arrays: dict[str, np.ndarray]) -> bytes:
    """A .npz file, the same bytes for the same arrays."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array) if array.ndim else array)
            archive.writestr(member, content.getvalue())
    return out.getvalue()


def _archive(data: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (*_DAMAGE, ValueError) as error:
        raise ValueError(f"this is no .npz file: {error}") from None


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The members by the name of their array."""
    listed = archive.infolist()
    members: dict[str, zipfile.ZipInfo] = {}
    for member in listed:
        name = member.filename
        if not name.endswith(".npy") or "/" in name or "\\" in name or ".." in name:
            raise ValueError(f"the .npz file has a member {shown(name)}; its members should be called NAME.npy")
        if name.removesuffix(".npy") in members:
            raise ValueError(f"the .npz file has two members {shown(name)}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
            raise ValueError(f"member {shown(name)} is encrypted, or not compressed as NumPy does")
        members[name.removesuffix(".npy")] = member
    if sum(member.compress_size for member in listed) > size:
        raise ValueError("the .npz file is damaged: its members claim more bytes than there are")
    return members


def _header(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> _Header:
    """The header of a .npy member, which must agree with the member's size."""
    stem = f"array {shown(name)}"
    with archive.open(member) as file:
        content = file.read(_LONGEST_HEADER)
    if content[:6] != b"\x93NUMPY" or len(content) < 12 or content[6] not in (1, 2, 3):
        raise ValueError(f"{stem} is not in NumPy's format")
    begin = 10 if content[6] == 1 else 12
    end = begin + int.from_bytes(content[8:begin], "little")
    fit = re.fullmatch(_HEADER, content[begin:end].decode("latin-1"))
    if fit is None or (fit[2] == "U") != name.endswith("_names"):
        raise ValueError(f"{stem} is no plain array of numbers of at most 4 dimensions; objects are not read")
    order, kind, width, fortran, sizes = fit.groups()
    try:
        dtype = np.dtype(f"{order}{kind}{width}")
    except TypeError:
        raise ValueError(f"{stem} has an unknown type {shown(kind + width)}") from None
    header = _Header(
        dtype, tuple(int(size) for size in sizes.split(",") if size.strip()), fortran == "True", min(end, len(content))
    )
    if header.size * dtype.itemsize != member.file_size - end:
        there = max(member.file_size - end, 0)
        raise ValueError(f"{stem} claims shape {header.shape} of {dtype}, but has {there} bytes")
    return header


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, header: _Header) -> np.ndarray:
    """The array itself, unpacked piece by piece into its place."""
    kind, width = header.dtype.kind, header.dtype.itemsize
    flat = np.empty(header.size, header.dtype.newbyteorder("="))
    with archive.open(member) as file:
        file.read(header.offset)
        step = max(_PIECE // max(width, 1), 1)
        for begin in range(0, header.size if width else 0, step):
            count = min(step, header.size - begin)
            content = file.read(count * width)
            if len(content) < count * width:
                raise EOFError("an array ends too soon")
            piece = np.frombuffer(content, np.uint8 if kind == "b" else header.dtype)
            flat[begin : begin + count] = piece  # as a Boolean, any byte but 0 is true
        if file.read(1):
            raise EOFError("an array goes on after its end")
    if kind == "U" and header.size and flat.view(np.uint32).max(initial=0) > 0x10FFFF:
        raise ValueError("text with characters that do not exist")
    return flat.reshape(header.shape, order="F" if header.fortran else "C")
