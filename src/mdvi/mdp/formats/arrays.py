"""Named arrays in an untrusted .npz file: sizes are checked before an array is read, and no code can be executed.

Every number counts as 8 bytes, whatever its type in the file, because a model stores it in 8 bytes.
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

# The headers that NumPy writes for arrays of numbers and text; headers of objects and records do not match.
_HEADER = (
    r"\{'descr': '([<>|=]?)([biufU])([0-9]{1,4})', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,18}(?:, ?[0-9]{1,18}){0,3},?)?)\),? ?\}\s*"
)
_LONGEST_HEADER = 4096
_COPIES = 4  # copies of the arrays in memory while a model is built and checked
_SMALL = 2**26  # arrays of at most this many bytes are always read
_PIECE = 2**20  # bytes that are decompressed at a time
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, OverflowError)


class _Header(NamedTuple):
    """The header of a .npy member, and the offset of its numbers."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def memory(self) -> int:
        """The bytes of the array in a model."""
        return self.size * max(self.dtype.itemsize, 8)


def names(data: bytes) -> list[str]:
    """The names of the arrays."""
    with _archive(data) as archive:
        return list(_members(archive, len(data)))


def load(data: bytes, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The wanted arrays that the file contains, in native byte order.

    Raises:
        ValueError: if an array has objects, or if the arrays do not fit into the available memory; this is checked
            before any array is read.
    """
    arrays = {}
    try:
        with _archive(data) as archive:
            members = {name: member for name, member in _members(archive, len(data)).items() if name in wanted}
            headers = {name: _header(archive, name, member) for name, member in members.items()}
            needed, left = _COPIES * sum(header.memory for header in headers.values()), memory_left()
            if needed > max(left, _SMALL):
                raise ValueError(
                    f"a model of these arrays does not fit into memory: it needs {needed / 2**30:.1f} GiB, and "
                    f"{left / 2**30:.1f} GiB are left"
                )
            for name, header in headers.items():
                arrays[name] = _array(archive, members[name], header)
    except _DAMAGE as error:
        raise ValueError(f"the .npz file is damaged: {error}") from None
    return arrays


def save(arrays: dict[str, np.ndarray]) -> bytes:
    """A .npz file, with the same bytes for the same arrays."""
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
        raise ValueError(f"this is not a .npz file: {error}") from None


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
            raise ValueError(f"member {shown(name)} is encrypted, or compressed by a method that NumPy does not use")
        members[name.removesuffix(".npy")] = member
    if sum(member.compress_size for member in listed) > size:
        raise ValueError("the .npz file is damaged: its members declare more bytes than the file has")
    return members


def _header(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> _Header:
    """The header of a .npy member, after a check that it agrees with the size of the member."""
    stem = f"array {shown(name)}"
    with archive.open(member) as file:
        content = file.read(_LONGEST_HEADER)
    if content[:6] != b"\x93NUMPY" or len(content) < 12 or content[6] not in (1, 2, 3):
        raise ValueError(f"{stem} is not in NumPy's format")
    begin = 10 if content[6] == 1 else 12
    end = begin + int.from_bytes(content[8:begin], "little")
    fit = re.fullmatch(_HEADER, content[begin:end].decode("latin-1"))
    if fit is None or (fit[2] == "U") != name.endswith("_names"):
        raise ValueError(f"{stem}: expected an array of numbers with at most 4 dimensions; objects are not read")
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
        raise ValueError(f"{stem} declares shape {header.shape} of {dtype}, but has {there} bytes")
    return header


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, header: _Header) -> np.ndarray:
    """The array, decompressed piece by piece."""
    kind, width = header.dtype.kind, header.dtype.itemsize
    flat = np.empty(header.size, header.dtype.newbyteorder("="))
    with archive.open(member) as file:
        file.read(header.offset)
        step = max(_PIECE // max(width, 1), 1)
        for begin in range(0, header.size if width else 0, step):
            count = min(step, header.size - begin)
            content = file.read(count * width)
            if len(content) < count * width:
                raise EOFError("an array has fewer bytes than its header declares")
            piece = np.frombuffer(content, np.uint8 if kind == "b" else header.dtype)
            flat[begin : begin + count] = piece  # any byte other than 0 is the Boolean true
        if file.read(1):
            raise EOFError("an array has more bytes than its header declares")
    if kind == "U" and header.size and flat.view(np.uint32).max(initial=0) > 0x10FFFF:
        raise ValueError("a text has invalid characters")
    return flat.reshape(header.shape, order="F" if header.fortran else "C")
