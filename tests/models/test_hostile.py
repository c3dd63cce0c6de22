"""A model file from a stranger is refused with the reason, or maps as its card says."""

import ast
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from swath.cli.command import fail
from swath.errors import ModelError
from swath.models.model import Model
from swath.models.model_file import CARD, NETWORK, WEIGHTS
from tests.errors import fails
from tests.hostile import PIXELS, contents, small_model, vouched, zipped


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("small") / "small.swath")


@pytest.fixture(scope="module")
def files(small):
    return contents(small)


def refused(path, data, code, detail=""):
    """Write a file and see it refused by name, for this reason; `detail` names what is wrong."""
    path.write_bytes(data)
    with fails(code, ModelError, file=path) as caught:
        Model(path, "onnxruntime").predict(PIXELS)
    assert detail in caught.value.message


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemError('executed')",)


ZIPS = {
    "path traversal": (lambda f: zipped(f | {"../../evil": b"x"}), "unknown-entry", "'../../evil'"),
    "absolute path": (lambda f: zipped(f | {"/etc/evil": b"x"}), "unknown-entry", "'/etc/evil'"),
    "pickle": (
        lambda f: zipped(f | {"data.pkl": pickle.dumps(Evil())}),
        "unknown-entry",
        "data.pkl",
    ),
    "pickle for weights": (
        lambda f: zipped(f | {WEIGHTS: pickle.dumps(Evil())}),
        "digest-mismatch",
        WEIGHTS,
    ),
    "pickle for card": (lambda f: zipped(f | {CARD: pickle.dumps(Evil())}), "damaged-card"),
    "nothing": (lambda f: zipped({}), "missing-entry", CARD),
    "no network": (
        lambda f: zipped({k: v for k, v in f.items() if k != NETWORK}),
        "missing-entry",
        NETWORK,
    ),
    "wrong hash": (lambda f: zipped(f | {NETWORK: f[NETWORK] + b"\0"}), "digest-mismatch", NETWORK),
    "not vouched for": (
        lambda f: zipped(f | {"model-int8.onnx": f[NETWORK]}),
        "digest-mismatch",
        "model-int8.onnx",
    ),
    "link": (
        lambda f: zipped([(link(k) if k == WEIGHTS else k, v) for k, v in f.items()]),
        "link-entry",
    ),
    "other packing": (lambda f: zipped(f, compression=zipfile.ZIP_BZIP2), "compression-method"),
    "bomb": (
        lambda f: zipped(f | {WEIGHTS: bytes(200 * 2**20)}),
        "unpacked-size",
        "which unpack to 2",
    ),
    "cut off": (lambda f: zipped(f)[:-100], "damaged-model"),
    "deep card": (lambda f: zipped(f | {CARD: b"[" * 100_000}), "damaged-card", "RecursionError"),
    "card that is NaN": (
        lambda f: zipped(f | {CARD: b'{"properties": NaN}'}),
        "damaged-card",
        "NaN",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ZIPS)
def test_a_zip_that_is_not_as_swath_writes_it(files, tmp_path, name):
    make, *why = ZIPS[name]
    refused(tmp_path / "m.swath", make(files), *why)
    assert [p.name for p in tmp_path.iterdir()] == ["m.swath"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(files, tmp_path):
    refused(tmp_path / "m.swath", zipped([*files.items(), (CARD, b"{}")]), "duplicate-entry")


def test_an_encrypted_entry(files, tmp_path):
    data = bytearray(zipped(files))
    for mark, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = data.find(mark)
        data[at + flags] |= 1
    refused(tmp_path / "m.swath", bytes(data), "encrypted-entry")


def test_an_entry_that_lies_about_its_size(files, tmp_path):
    """A bomb whose directory says that it is small: no more is unpacked, and the sum is wrong."""
    data = bytearray(zipped(files | {WEIGHTS: bytes(2**24)}))
    at = data.rfind(b"PK\1\2", 0, data.rfind(WEIGHTS.encode()))
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    refused(tmp_path / "m.swath", bytes(data), "damaged-model")


def test_a_torn_stream_is_no_bare_error(files, tmp_path):
    """Python raises zlib.error here, which is no kind of its other ones."""
    data = bytearray(zipped(files))
    at = data.find(NETWORK.encode()) + len(NETWORK)
    data[at : at + 4] = b"\xff" * 4
    refused(tmp_path / "m.swath", bytes(data), "damaged-model")


def test_what_is_no_file_is_not_read(tmp_path):
    for path in (tmp_path, "/dev/zero"):
        with fails("not-a-file", ModelError, file=path):
            Model(path)


def setting(**values):
    def change(card):
        for name, value in values.items():
            at, *more = name.split("__")[::-1]
            inner = card
            for key in reversed(more):
                inner = inner[int(key) if key.isdigit() else key]
            inner[int(at) if at.isdigit() else at] = value

    return change


CARDS = {
    "stride of nothing": (setting(stride=0), "damaged-card", "stride: "),
    "huge halo": (setting(halo=10**9), "damaged-card", "halo: "),
    "halo between strides": (setting(halo=33), "damaged-card", "halo"),
    "tiny tiles": (setting(core=1), "damaged-card", "core"),
    "temperature that is NaN": (setting(temperature=float("nan")), "damaged-card", "NaN"),
    "endless temperature": (setting(temperature=float("inf")), "damaged-card", "Infinity"),
    "temperature of nothing": (setting(temperature=0), "damaged-card", "temperature: "),
    "thresholds": (setting(thresholds=[0.5]), "damaged-card", "thresholds"),
    "threshold above one": (setting(thresholds=[0.5, 2, 0.5]), "damaged-card", "thresholds.1: "),
    "scale of nothing": (setting(bands__0__std=0), "damaged-card", "bands.0.std: "),
    "no bands": (setting(bands=[]), "damaged-card", "bands: "),
    "another number of bands": (
        lambda card: card["bands"].pop(),
        "network-input",
        "(any, 3, any, any) of type 1, and by the card it is (any, 2, any, any)",
    ),
    "no classes": (setting(legend__classes=[]), "damaged-card", "class"),
    "another number of classes": (
        lambda c: c["legend"]["classes"].pop(),
        "network-output",
        "(any, 3, any, any)",
    ),
    "codes no map holds": (setting(legend__classes__0__map_code=-1), "damaged-card", "-1"),
    "one code twice": (setting(legend__classes__0__map_code=2), "damaged-card", "map code [2]"),
    "color": (setting(legend__classes__0__color="red"), "damaged-card", "color"),
    "heights that are not there": (setting(heights=True), "network-output", "(any, 4, any, any)"),
    "type": (setting(dtype="object"), "damaged-card", "dtype: "),
    "encoder from elsewhere": (setting(decoder="hub"), "damaged-card", "decoder."),
    "endless network": (setting(network__widths=[10**9] * 4), "damaged-card", "network.widths.0: "),
    "more of a network": (
        setting(network__pretrained=True),
        "damaged-card",
        "network.pretrained: ",
    ),
    "familiarity": (  # codespell:ignore familiarity
        # codespell:ignore-next-line
        setting(familiarity={"mean": [0], "precision": [[1]], "threshold": 1, "images": 1}),
        "damaged-card",
        "ood",
    ),
    "resolution": (setting(gsd=-1), "damaged-card", "gsd: "),
    "newer": (setting(format_version=3), "newer-format", "3"),
    "a hash that is none": (
        lambda card: card["files"].update({"../x": "0"}),
        "damaged-card",
        "../x",
    ),
    "a file that is not there": (
        lambda card: card["files"].update({"x": "0" * 64}),
        "digest-mismatch",
        "another x ",
    ),
}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_that_lies(files, tmp_path, name):
    change, *why = CARDS[name]
    refused(tmp_path / "m.swath", vouched(files, change), *why)


@pytest.mark.slow
def test_a_card_of_many_megabytes(files, tmp_path):
    text = (
        files[CARD][:-1]
        + b', "x": "'
        + np.random.default_rng(0).bytes(33 * 2**20).hex().encode()
        + b'"}'
    )
    refused(tmp_path / "m.swath", zipped(files | {CARD: text}), "card-size")


def changed(files, change):
    """Return the network after a change to its graph."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(files[NETWORK])
    change(model, onnx)
    return model.SerializeToString()


def outside(model, onnx):
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def outside_in_a_node(model, onnx):
    constant = next(n for n in model.graph.node if n.op_type == "Constant")
    constant.attribute[0].t.external_data.add(key="location", value="../secret")


def endless(model, onnx):
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", "", "scores"], ["again"], body=body))


def own_operator(model, onnx):
    model.graph.node[0].domain = "evil.com"


def two_inputs(model, onnx):
    model.graph.input.append(onnx.helper.make_tensor_value_info("more", 1, [1]))


def function(model, onnx):
    model.functions.add(name="f", domain="evil.com")


def sparse(model, onnx):
    model.graph.sparse_initializer.add(dims=[1])


def whole_numbers(model, onnx):
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8


def no_numbers(model, onnx):
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()


def half_the_size(model, onnx):
    """Leave every other pixel of the scores out, and keep quiet about it."""
    for node in model.graph.node:
        node.output[:] = ["inner" if name == "scores" else name for name in node.output]
    for name, value in (
        ("starts", [0, 0]),
        ("ends", [10**6] * 2),
        ("axes", [2, 3]),
        ("steps", [2, 2]),
    ):
        model.graph.initializer.append(
            onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [2], value)
        )
    model.graph.node.append(
        onnx.helper.make_node("Slice", ["inner", "starts", "ends", "axes", "steps"], ["scores"])
    )


NETWORKS = [
    (outside, "onnx-external-data", ""),
    (outside_in_a_node, "onnx-external-data", ""),
    (endless, "onnx-control-flow", ""),
    (own_operator, "onnx-operator", "'evil.com'"),
    (two_inputs, "network-inputs", "2 inputs"),
    (function, "onnx-functions", ""),
    (sparse, "onnx-sparse-weights", ""),
    (whole_numbers, "network-input", "of type 2"),
    (no_numbers, "scores-not-finite", "in rows 0 to 40"),
    (half_the_size, "score-shape", "(1, 3, 32, 32)"),
]


@pytest.mark.parametrize(("change", "code", "detail"), NETWORKS)
def test_a_network_that_is_none_of_ours(files, tmp_path, change, code, detail):
    data = vouched(files, model_onnx=changed(files, change))
    refused(tmp_path / "m.swath", data, code, detail)


def test_what_is_not_onnx_is_refused(files, tmp_path):
    for data in (b"", b"\xff" * 9, files[NETWORK][:-40], files[NETWORK] * 2):
        refused(tmp_path / "m.swath", vouched(files, model_onnx=data), "not-onnx")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_network_that_no_engine_reads(files, tmp_path, engine):
    def unknown(model, onnx):
        model.graph.node[-1].op_type = "Nonsense"

    path = tmp_path / "m.swath"
    path.write_bytes(vouched(files, model_onnx=changed(files, unknown)))
    with fails("network-refused", ModelError, file=path):
        Model(path, engine).predict(PIXELS)


def test_weights_are_held_against_the_card_before_torch_has_them(files, tmp_path):
    path = tmp_path / "m.swath"
    for data, code in (
        (vouched(files, weights_safetensors=b"\x80\x04."), "weights-mismatch"),
        (vouched(files, setting(network__widths=[16] * 4)), "weights-mismatch"),
        (vouched(files, setting(encoder="hf-hub:evil/model")), "unknown-encoder"),
        (vouched(files, setting(encoder="nonsense")), "weights-mismatch"),
    ):
        path.write_bytes(data)
        with fails(code, ModelError, file=path):
            Model(path).in_torch()


def test_nothing_is_loaded_by_pickle():
    """`torch.load` and `numpy.load` run code by default."""
    import swath

    for path in Path(swath.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not names & {"pickle", "joblib"}, path
        for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
            keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
            if ast.unparse(call.func) == "torch.load":
                assert keywords.get("weights_only") == "True", path
            assert keywords.get("allow_pickle", "False") == "False", path


def test_names_of_a_stranger_do_not_command_the_terminal(capsys):
    with pytest.raises(SystemExit):
        fail(ModelError("The class is \x1b[31m\x9bred", code="x", file="a\nb"))
    assert capsys.readouterr().err == "Error: a b: The class is ?[31m?red. [x]\n"


def tried(small, first, last):
    """Try spoilt files in a process of their own; return what came of each seed."""
    command = [sys.executable, "-m", "tests.hostile", str(small), str(first), str(last)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600)
    lines = [
        json.loads(line)
        for line in done.stdout.splitlines()
        if line.startswith("[") and line.endswith("]")
    ]
    assert done.returncode == 0, (
        f"seed {lines[-1][0] if lines else first} ended the process ({done.returncode}): "
        f"{done.stderr[-2000:]}"
    )
    return {seed: outcome for seed, outcome in lines if outcome != "begun"}


def fine(outcomes, first, last):
    assert sorted(outcomes) == list(range(first, last))
    bad = {
        seed: outcome
        for seed, outcome in outcomes.items()
        if not outcome.startswith(("refused", "opened"))
    }
    assert not bad, bad
    kinds = set(outcomes.values())
    assert "opened" in kinds and "refused: ModelError" in kinds


def test_spoilt_files_are_refused_or_map_rightly(small):
    fine(tried(small, 0, 80), 0, 80)


@pytest.mark.slow
def test_two_thousand_spoilt_files_are_refused_or_map_rightly(small):
    fine(tried(small, 0, 2000), 0, 2000)
