"""Runs as somebody else might have changed them."""

import json

from mdvi.deep import checkpoint, record


def forge(folder, **changes):
    """Let config.json say something else, and the checkpoints agree with it."""
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    for path in (folder / "checkpoint").glob("*.safetensors"):
        arrays, note = checkpoint.read(path.parent, int(path.stem), 2**30)
        checkpoint.write(path.parent, int(path.stem), arrays, note | {"config": record.digest_of(config)}, None)
