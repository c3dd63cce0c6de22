"""Model files from a stranger: a small one, ways to damage it, and a process that opens them.

`python -m tests.hostile MODEL FIRST LAST` tries the spoilt files of these seeds, and prints a line
before and after each.
"""

import hashlib
import io
import json
import random
import resource
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import numpy.testing  # else it begins while it is watched, and starts a process of its own

from swath.errors import SwathError
from swath.legend import legend_of_codes
from swath.models.card import Card, CardBand, NetworkShape, Training
from swath.models.model import Model
from swath.models.model_file import CARD, NETWORK, WEIGHTS, pack_model_file

PIXELS = np.random.default_rng(0).integers(1, 255, (3, 40, 50)).astype(np.uint8)

VALUES = (
    None,
    True,
    False,
    -1,
    0,
    1,
    3,
    10**6,
    2**31,
    2**63,
    10**400,
    -0.5,
    1e-300,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "nan",
    "../../etc/passwd",
    "\x1b[31m\x00\n<script>",
    "y" * 100_000,
    [],
    [0],
    [0.0] * 7,
    [[]],
    {},
    {"a": 1},
    [{}],
    "hf-hub:x/y",
)


def small_model(path, codes=(1, 2, 3), bands=("red", "green", "blue"), seed=0):
    """Write a model file of some 0.7 MB: three bands, three classes, random weights."""
    import torch
    from safetensors.torch import save

    from swath.models.network import Network, NetworkSpec, to_onnx

    torch.manual_seed(seed)
    network = Network(
        NetworkSpec("test_efficientnet", "unet", 3, (128.0,) * 3, (64.0,) * 3, (8, 8, 8, 8), 4)
    ).eval()
    training = Training(
        data="x",
        data_digest="x",
        groups={},
        recipe="default",
        settings={},
        seed=0,
        steps=0,
        seconds=0,
        first_weights="none",
        precision="32-true",
        versions={},
        curve=[],
        validation_miou=None,
    )
    card = Card(
        swath_version="0",
        name="small",
        legend=legend_of_codes(list(codes), "code"),
        bands=[CardBand(name=n, fill=128, mean=128, std=64, min=0, max=255) for n in bands],
        dtype="uint8",
        gsd=None,
        encoder="test_efficientnet",
        decoder="unet",
        network=NetworkShape(widths=[8] * 4, pixel_width=4),
        stride=32,
        halo=128,
        parameters=1,
        training=training,
        files={},
    )
    pack_model_file(
        path,
        card,
        to_onnx(network, 3),
        save({k: t.contiguous() for k, t in network.state_dict().items()}),
    )
    return path


def contents(path):
    """Return the files of a model file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files, **more):
    """Return a zip of files, a mapping or pairs; a name may be a ZipInfo."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **({"compression": zipfile.ZIP_DEFLATED} | more)) as archive:
        for name, data in dict(files).items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return out.getvalue()


def vouched(files, change=lambda card: None, **replaced):
    """Return a zip with the right digests, after `change` and with `model_onnx=...` replaced."""
    files = {name: replaced.get(name.replace(".", "_"), data) for name, data in files.items()}
    item = json.loads(files[CARD])
    card = item["properties"]["swath:card"]
    card["files"] = {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != CARD
    }
    change(card)
    return zipped(files | {CARD: json.dumps(item)})


def spoil(files, dice):
    """Spoil a model file in one of five ways, drawn by `dice`; return its bytes."""
    kind = dice.choice(("bytes", "entries", "card", "card", "network", "weights"))
    if kind == "bytes":
        return _bitten(zipped(files), dice)
    if kind == "entries":
        return _entries(files, dice)
    if kind == "card":
        return vouched(files, lambda card: [_change(card, dice) for _ in range(dice.randint(1, 3))])
    name = NETWORK if kind == "network" else WEIGHTS
    return vouched(files, **{name.replace(".", "_"): _bitten(files[name], dice)})


def _bitten(data, dice):
    """Change, insert, delete, repeat or cut off some bytes, more often in headers."""
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        at = dice.choice(
            (
                dice.randrange(len(data)),
                dice.randrange(min(len(data), 1024)),
                -dice.randrange(1, min(len(data), 1024)),
            )
        )
        how = dice.randrange(6)
        if how == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif how == 1:
            data[at] = dice.choice((0, 1, 127, 128, 255))
        elif how == 2:
            data[at:at] = dice.randbytes(dice.randint(1, 9))
        elif how == 3:
            del data[at : at + dice.randint(1, 9)]
        elif how == 4:
            data[at:at] = data[at : at + dice.randint(1, 300)]
        elif dice.random() < 0.1:
            del data[at:]
        if len(data) < 8:
            break
    return bytes(data)


def _entries(files, dice):
    pairs = list(files.items())
    i = dice.randrange(len(pairs))
    name, data = pairs[i]
    how = dice.randrange(7)
    if how == 0:
        del pairs[i]
    elif how == 1:
        pairs.append(pairs[dice.randrange(len(pairs))])
    elif how == 2:
        pairs[i] = (
            dice.choice(
                ("../" + name, "/" + name, name.upper(), "x/" + name, name + "\0.txt", "data.pkl")
            ),
            data,
        )
    elif how == 3:
        pairs.append(
            (
                dice.choice(("../../evil", "/tmp/evil", "evil.pkl", "model-int8.onnx", "..\\evil")),
                b"\x80\x04.",
            )
        )
    elif how == 4:
        pairs[i] = (name, pairs[dice.randrange(len(pairs))][1])
    elif how == 5:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = dice.choice((0o120777, 0o060777, 0o040777)) << 16
        pairs[i] = (entry, data)
    else:
        return zipped(
            files,
            compression=dice.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED)),
        )
    return zipped(pairs)


def _change(value, dice):
    """Put something strange somewhere into an object of JSON."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = dice.choice(list(keys))
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and dice.random() < 0.7:
            value = inner
            continue
        if dice.random() < 0.1:
            del value[key]
        else:
            value[key] = dice.choice(VALUES)
        return


def matters(model):
    """Return all that the map of a model depends on."""
    card = model.card
    return (
        model.network(),
        [c.map_code for c in card.legend.trained],
        [b.fill for b in card.bands],
        card.stride,
        card.side,
    )


def judge(path, engine, honest, expected):
    """Open a file and map with it; return what came of it, or raise what may not be."""
    try:
        model = Model(path, engine)
        codes = model.predict(PIXELS)
    except SwathError as error:
        if not str(error):
            raise AssertionError("no reason") from error
        return f"refused: {type(error).__name__}"
    legend = model.card.legend
    assert codes.shape == (40, 50), codes.shape
    assert set(np.unique(codes)) <= {legend.nodata, *(c.map_code for c in legend.trained)}
    if matters(model) == honest:
        np.testing.assert_array_equal(codes, expected)
    return "opened"


def watch(found):
    """Note all that no model may cause: code, processes, connections, files written."""
    forbidden = (
        "pickle.find_class",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "socket.connect",
    )

    def hook(event, arguments):
        writes = (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        )
        if (
            event in forbidden
            or writes
            or event in ("os.remove", "os.rename", "os.mkdir", "os.symlink", "os.link")
        ):
            found.append(f"{event} {arguments!r:.200}")

    sys.addaudithook(hook)


def main(model, first, last):
    """Try the spoilt files of some seeds."""
    files = contents(model)
    honest = matters(Model(model))
    expected = {
        engine: Model(model, engine).predict(PIXELS) for engine in ("onnxruntime", "openvino")
    }
    limit = 8 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    events: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.swath"
        watching = False
        for seed in range(first, last):
            dice = random.Random(seed)
            path.write_bytes(spoil(files, dice))
            print(json.dumps([seed, "begun"]), flush=True)
            if not watching:
                watch(events)
                watching = True
            engine = dice.choice(("onnxruntime", "onnxruntime", "openvino"))
            events.clear()
            try:
                outcome = judge(path, engine, honest, expected[engine])
            except MemoryError:
                outcome = "refused: MemoryError"
            except Exception as error:  # noqa: BLE001 - what is looked for
                outcome = f"failed: {error!r:.300}"
            print(json.dumps([seed, f"failed: {events}" if events else outcome]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
