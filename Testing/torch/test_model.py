"""Model folders: what is written is read back, and nothing that could run code is ever opened."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from SemiSupSegLib.config import Config, NetworkConfig, TrainConfig
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.errors import ModelFileError
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.labels import LabelSet

NETWORK = NetworkConfig(backbone="vnet", filters=8)


@pytest.fixture
def a_model() -> Model:
    torch.manual_seed(3)
    return Model(
        config=Config(method="smile", network=NETWORK, train=TrainConfig(iterations=1)),
        label_set=LabelSet.from_names(["liver", "left kidney"]),
        weights=Segmentor(NETWORK, labels=2).state_dict(),
        run="2026-11-22_0915_smile",
        checkpoint="best",
        step=12,
        scores={"holdout_dice": 0.5},
    )


@pytest.fixture
def a_folder(a_model, tmp_path) -> Path:
    a_model.save(tmp_path / "0001")
    return tmp_path / "0001"


class Trap:
    """Unpickling one makes a file: what a hostile checkpoint would do."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.unit
def test_a_model_comes_back_as_it_was_saved(a_model, a_folder):
    found = Model.load(a_folder, a_model.label_set)
    assert (found.config, found.label_set, found.run) == (a_model.config, a_model.label_set, a_model.run)
    assert (found.checkpoint, found.step, found.scores, found.name) == ("best", 12, {"holdout_dice": 0.5}, "0001")
    assert sorted(p.name for p in a_folder.iterdir()) == ["model.json", "model.safetensors"]
    image = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(found.segmentor()(image).logits, a_model.segmentor()(image).logits)
    assert not found.segmentor().training


@pytest.mark.unit
def test_scores_may_be_added_when_a_model_is_saved(a_model, tmp_path):
    a_model.save(tmp_path / "0002", scores={"holdout_dice": 0.9})
    assert Model.load(tmp_path / "0002").scores == {"holdout_dice": 0.9}


@pytest.mark.robustness
def test_a_model_is_never_overwritten(a_model, a_folder):
    with pytest.raises(ModelFileError, match="never overwritten"):
        a_model.save(a_folder)


@pytest.mark.security
@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.ckpt"])
def test_g01_a_pickle_is_refused_by_its_name_and_leaves_no_side_effect(name, tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / name).write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(ModelFileError, match="can run code"):
        Model.load(tmp_path / name)
    with pytest.raises(ModelFileError, match="can run code"):
        Model.load(tmp_path)  # a folder with nothing else in it
    assert not mark.exists()


@pytest.mark.security
@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_g01_a_pickle_called_safetensors_is_refused_and_leaves_no_side_effect(writer, a_folder, tmp_path):
    mark, path = tmp_path / "mark", a_folder / "model.safetensors"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Trap(mark)))
    else:
        torch.save({"weight": Trap(mark)}, path)
    _forge_checksum(a_folder)
    with pytest.raises(ModelFileError, match="safetensors"):
        Model.load(a_folder)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Trap(mark)))  # the trap does work
    assert mark.exists()


@pytest.mark.security
def test_g01_a_header_that_claims_to_be_huge_is_refused(a_folder):
    data = bytearray((a_folder / "model.safetensors").read_bytes())
    data[:8] = (64 << 20).to_bytes(8, "little")
    (a_folder / "model.safetensors").write_bytes(bytes(data) + b" " * (65 << 20))
    _forge_checksum(a_folder)
    with pytest.raises(ModelFileError, match="safetensors"):
        Model.load(a_folder)


@pytest.mark.robustness
@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 64, b"{}" * 40])
def test_g01_garbage_is_refused(content, a_folder):
    (a_folder / "model.safetensors").write_bytes(content)
    _forge_checksum(a_folder)
    with pytest.raises(ModelFileError, match="0001"):
        Model.load(a_folder)


@pytest.mark.security
def test_g01_an_exchanged_weights_file_is_noticed(a_model, a_folder, tmp_path):
    torch.manual_seed(4)
    other = Model(**{**vars(a_model), "weights": Segmentor(NETWORK, labels=2).state_dict()})
    other.save(tmp_path / "0002")
    (tmp_path / "0002" / "model.safetensors").replace(a_folder / "model.safetensors")
    with pytest.raises(ModelFileError, match="checksum"):
        Model.load(a_folder)


@pytest.mark.robustness
def test_tensors_that_do_not_fit_the_settings_are_refused(a_model, tmp_path):
    weights = dict(a_model.weights)
    first = next(iter(weights))
    cases = {
        "shape": {**weights, first: torch.zeros(1)},
        "unknown": {**weights, "backdoor": torch.zeros(1)},
        "missing": {k: v for k, v in weights.items() if k != first},
    }
    for number, (word, changed) in enumerate(cases.items()):
        Model(**{**vars(a_model), "weights": changed}).save(tmp_path / f"{number:04d}")
        with pytest.raises(ModelFileError, match=word):
            Model.load(tmp_path / f"{number:04d}")


@pytest.mark.robustness
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "please update"),
        ({"kind": "other"}, "does not describe"),
        ({"run": None, "step": "many"}, "cannot be read"),
        ({"config": {"surprise": 1}}, "surprise"),
        ({"label_set": {}}, "label set"),
    ],
)
def test_a_description_that_is_not_ours_is_refused_in_one_sentence(change, words, a_folder):
    path = a_folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelFileError, match=words) as caught:
        Model.load(a_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.robustness
def test_missing_or_broken_files_are_named(a_folder, tmp_path):
    (a_folder / "model.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"model\.json"):
        Model.load(a_folder)
    (a_folder / "model.json").unlink()
    with pytest.raises(ModelFileError, match=r"model\.json"):
        Model.load(a_folder)
    with pytest.raises(ModelFileError, match="expected a folder"):
        Model.load(tmp_path / "nothing")


@pytest.mark.unit
def test_a_model_of_labels_that_the_project_does_not_have_is_refused(a_folder):
    with pytest.raises(ModelFileError, match="left kidney"):
        Model.load(a_folder, LabelSet.from_names(["liver", "spleen"]))
    assert Model.load(a_folder, LabelSet.from_names(["liver", "left kidney", "spleen"])).name == "0001"


def _forge_checksum(folder: Path) -> None:
    """What an attacker would do as well: the checksum guards against damage, not against malice."""
    import hashlib

    data = json.loads((folder / "model.json").read_text())
    data["sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(data))
