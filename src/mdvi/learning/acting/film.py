"""Write a sequence of pictures to a .gif or .mp4 file."""

import io
import warnings
from typing import Any

import numpy as np

from mdvi.extras import explained

_FRAMES_PER_SECOND = 30


def film_file(frames: list[np.ndarray], suffix: str) -> bytes:
    """The content of a film with these frames, shape (rows, columns, 3), uint8.

    Raises:
        ModuleNotFoundError: if Pillow, or for a .mp4 file imageio or imageio-ffmpeg, is not installed.
    """
    buffer = io.BytesIO()
    if suffix == ".gif":
        with explained():
            from PIL import Image
        first, *others = (Image.fromarray(frame) for frame in frames)
        duration = 1000 // _FRAMES_PER_SECOND
        first.save(buffer, "GIF", save_all=True, append_images=others, duration=duration, loop=0)
        return buffer.getvalue()
    with explained():
        import imageio.v3 as imageio
        import imageio_ffmpeg  # noqa: F401
    even: Any = np.stack(frames)[:, : frames[0].shape[0] // 2 * 2, : frames[0].shape[1] // 2 * 2]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # the child becomes ffmpeg and nothing else
        imageio.imwrite(buffer, even, extension=".mp4", fps=_FRAMES_PER_SECOND, macro_block_size=2)
    return buffer.getvalue()
