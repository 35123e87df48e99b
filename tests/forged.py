"""Runs as somebody else, or another version, might have written them."""

import json

from mdvi.learning.runs import checkpoint, record


def forge(folder, change=lambda note: None, **changes):
    """Let config.json say something else, and the checkpoints agree with it; `change` changes their notes."""
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    for path in (folder / "checkpoint").glob("*.safetensors"):
        arrays, note = checkpoint.read(path.parent, int(path.stem), 2**30)
        change(note)
        checkpoint.write(path.parent, int(path.stem), arrays, note | {"config": record.digest_of(config)}, None)
