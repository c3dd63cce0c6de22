"""Maps from a few labels by the scripts of other libraries, with the labels of few.py.

Each trains a U-Net over the encoder that Swath has, on 15 squares a class of a judging scene, and
maps the scene; pixels without a label are ignored. See peer_smp.py and peer_torchgeo.py.

Run: `python benchmarks/few_peers.py SHARED_DATA SCRIPT OUT.jsonl [--steps 400] [--only "Tile 8"]`,
in an environment with what the script needs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import few
import numpy as np
from peer_jobs import ENCODER, write_weights
from PIL import Image

from swath.legend import IGNORE


def run(data: Path, script: Path, out: Path, steps: int, only: str) -> None:
    """Append a line of JSON for each scene."""
    for name in few.JUDGE:
        if not name.startswith(only):
            continue
        pixels, reference = few.read_dubai(data, name)
        labels = few.draw(reference, *few.LABELS["15 polygons"], 0)
        present, indices = np.unique(labels, return_inverse=True)
        indices = np.where(labels == IGNORE, IGNORE, indices.reshape(labels.shape))
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            Image.fromarray(pixels.transpose(1, 2, 0).copy()).save(folder / "scene.png")
            Image.fromarray(indices.astype(np.uint8)).save(folder / "labels.png")
            write_weights(folder / "encoder.pth")
            pair = [str(folder / "scene.png"), str(folder / "labels.png")]
            job = {
                "train": [pair],
                "test": [pair],
                "weights": str(folder / "encoder.pth"),
                "encoder": ENCODER,
                "ignore": IGNORE,
                "classes": int((present != IGNORE).sum()),
                "seed": 0,
                "steps": steps,
                "maps": str(folder / "maps"),
            }
            (folder / "maps").mkdir()
            (folder / "job.json").write_text(json.dumps(job))
            subprocess.run([sys.executable, str(script), str(folder / "job.json")], check=True)
            found = present[np.asarray(Image.open(folder / "maps" / "scene.png"))]
            about = json.loads((folder / "maps" / "about.json").read_text())
        scores = few.score(found, np.ones(found.shape, np.float32), reference, labels)
        facts = {"scene": name, "labels": "15 polygons", "draw": 0, "row": script.stem}
        with out.open("a") as file:
            file.write(json.dumps(facts | {"miou": scores["miou"]} | about) + "\n")
        sys.stdout.write(f"{name} {script.stem} {scores['miou']:.3f} {about['seconds']} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("script", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", default="", help="begin of the names of scenes")
    arguments = parser.parse_args()
    run(arguments.data, arguments.script, arguments.out, arguments.steps, arguments.only)
