"""Checkpoints in the official layout go through the real loading code; what does not fit is named in full."""

import numpy as np
import pytest
from v0_models import make_embedding, random_prompts, save_backbone, stirred, torch
from v05.errors import CheckpointError, InvalidArgument
from v05.v0 import V0Prior
from v05.v0.checkpoint import load_weights, read_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def trained():
    """Other weights than the backbone's folder has, as after tuning."""
    return stirred(make_embedding(seed=5))


def official(weights, prefix=""):
    """What official training saves besides the weights, too."""
    return {
        "epoch": 7,
        "model_state_dict": {prefix + name: value for name, value in weights.items()},
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 2e-4}]},
        "scheduler_state_dict": None,
        "args": {"device": torch.device("cpu"), "qwen_path": "somewhere", "num_queries": 168},
        "wandb_run_id": None,
    }


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_both_formats_with_and_without_prefix(tmp_path, backbone, trained, prefix, kind):
    weights = trained.state_dict()
    path = tmp_path / f"v_0.{kind}"
    if kind == "pt":
        torch.save(official(weights, prefix), path)
    else:
        pytest.importorskip("safetensors.torch", reason="needs safetensors").save_file(
            {prefix + name: value.contiguous() for name, value in weights.items()}, path
        )
    prior = V0Prior.from_pretrained(path, str(backbone), head="kernel")
    prompts = random_prompts(np.random.default_rng(0), 5)
    with torch.no_grad():
        torch.testing.assert_close(prior.embedding(prompts), trained(prompts), rtol=0, atol=1e-6)
    assert all(name.startswith(("backbone.", "adapter_layer.")) for name in weights)


def test_all_that_does_not_fit_is_named_at_once(tmp_path, backbone, trained):
    weights = dict(trained.state_dict())
    del weights["adapter_layer.static_queries"], weights["backbone.norm.weight"]
    weights["adapter_layer.mystery"] = torch.zeros(3)
    weights["unknown"] = torch.zeros(1)
    weights["adapter_layer.ln_q.bias"] = torch.zeros(7)
    weights["adapter_layer.mha.out_proj.bias"] = torch.full((6,), torch.nan)
    torch.save(official(weights), tmp_path / "bad.pt")
    with pytest.raises(CheckpointError) as caught:
        V0Prior.from_pretrained(tmp_path / "bad.pt", str(backbone), head="kernel")
    for words in (
        "adapter_layer.static_queries is missing",
        "backbone.norm.weight is missing",
        "adapter_layer.mystery is not part of the model",
        "unknown is not part of the model",
        "adapter_layer.ln_q.bias has shape (7,), the model (6,)",
        "adapter_layer.mha.out_proj.bias is not finite",
    ):
        assert words in str(caught.value)


def test_another_embedding_width(tmp_path, trained):
    narrow = make_embedding(width=16)
    before = {name: value.clone() for name, value in narrow.state_dict().items()}
    words = r"width 16.*adapter_layer.proj_kv.weight has shape \(6, 32\), the model \(6, 16\)"
    with pytest.raises(CheckpointError, match=words):
        load_weights(narrow, trained.state_dict(), "wide.pt")
    assert all(torch.equal(value, before[name]) for name, value in narrow.state_dict().items())


def test_files_that_are_no_checkpoints(tmp_path):
    with pytest.raises(InvalidArgument, match="checkpoint must be a file"):
        read_checkpoint(tmp_path / "absent.pt")
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("no weights at all")
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_checkpoint(tmp_path / name)
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="under 'model_state_dict', got 'state_dict'"):
        read_checkpoint(tmp_path / "other.pt")
    torch.save(official({"a": torch.zeros(1)})["model_state_dict"]["a"], tmp_path / "tensor.pt")
    with pytest.raises(CheckpointError, match="got Tensor"):
        read_checkpoint(tmp_path / "tensor.pt")


class Surprise:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    torch.save({"model_state_dict": {}, "args": Surprise()}, tmp_path / "surprise.pt")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_checkpoint(tmp_path / "surprise.pt")
    assert "executed" not in capsys.readouterr().out


def test_a_crash_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "weights.pt"
    write_checkpoint(path, {"model_state_dict": {"a": torch.ones(2)}})

    def crash(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, {"model_state_dict": {"a": torch.zeros(2)}})
    assert read_checkpoint(path)["model_state_dict"]["a"].tolist() == [1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]


def test_a_model_that_cannot_be_loaded(tmp_path):
    torch.save(official({}), tmp_path / "weights.pt")
    with pytest.raises(InvalidArgument, match="embedding_model cannot be loaded"):
        V0Prior.from_pretrained(tmp_path / "weights.pt", str(tmp_path / "nothing"), head="kernel")
