"""Named arrays in a .npz file, read without trusting it: sizes are checked before memory is taken, no code can run."""

import io
import math
import re
import zipfile
import zlib

import numpy as np

from mdvi.mdp.formats.text import shown
from mdvi.mdp.validation import physical_memory

# What NumPy writes for arrays of numbers. Objects and records look different, and are not read.
_HEADER = (
    r"\{'descr': '([<>|=]?)([biuf])([0-9]{1,2})', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,18}(?:, ?[0-9]{1,18}){0,3},?)?)\),? ?\}\s*"
)
_SMALL = 2**24
_MOST_EXPANSION = 1000


def names(data: bytes) -> list[str]:
    """The names of the arrays."""
    return list(_members(data))


def load(data: bytes, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that are there, in native byte order."""
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name, member in _members(data).items():
                if name in wanted:
                    with archive.open(member) as file:
                        arrays[name] = _array(name, file.read(member.file_size))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
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


def _members(data: bytes) -> dict[str, zipfile.ZipInfo]:
    """The members by the name of their array, none larger than the file can justify."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError, EOFError) as error:
        raise ValueError(f"this is no .npz file: {error}") from None
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
    total = sum(member.file_size for member in listed)
    if sum(member.compress_size for member in listed) > len(data):
        raise ValueError("the .npz file is damaged: its members claim more bytes than there are")
    # Building and checking the model takes several times the memory of its arrays.
    if total > physical_memory() // 8 or total > max(_SMALL, _MOST_EXPANSION * len(data)):
        raise ValueError(f"the .npz file of {len(data)} bytes claims {total} bytes of arrays, which is not believed")
    return members


def _array(name: str, content: bytes) -> np.ndarray:
    """The array of one .npy member, whose header must agree with its size."""
    stem = f"array {shown(name)}"
    if content[:6] != b"\x93NUMPY" or len(content) < 12 or content[6] not in (1, 2, 3):
        raise ValueError(f"{stem} is not in NumPy's format")
    begin = 10 if content[6] == 1 else 12
    end = begin + int.from_bytes(content[8:begin], "little")
    header = re.fullmatch(_HEADER, content[begin : min(end, begin + 4096)].decode("latin-1"))
    if header is None:
        raise ValueError(f"{stem} is no plain array of numbers of at most 4 dimensions; objects are not read")
    order, kind, width, fortran, sizes = header.groups()
    try:
        dtype = np.dtype(f"{order}{kind}{width}")
    except TypeError:
        raise ValueError(f"{stem} has an unknown type {shown(kind + width)}") from None
    shape = tuple(int(size) for size in sizes.split(",") if size.strip())
    if math.prod(shape) * dtype.itemsize != len(content) - end:
        raise ValueError(f"{stem} claims shape {shape} of {dtype}, but has {max(len(content) - end, 0)} bytes")
    flat = np.frombuffer(content, dtype, offset=end)
    if kind == "b":
        flat = flat.view(np.uint8) != 0  # other bytes than 0 and 1 are no Booleans
    return flat.astype(dtype.newbyteorder("="), copy=False).reshape(shape, order="F" if fortran == "True" else "C")
