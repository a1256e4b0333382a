"""Training of V_0: the loss falls, ranking is learnt only from the ranking loss, resuming changes no bit."""

import contextlib
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from v0_models import make_embedding, save_backbone, save_tabpfn, torch
from v05.commands.command_line import main
from v05.errors import ArgumentTypeError, CheckpointError, Error, InvalidArgument
from v05.v0 import (
    KernelHead,
    PromptEmbedding,
    Score,
    TabPFNHead,
    TrainingOptions,
    V0Prior,
    evaluate,
    read_scores,
    train,
)
from v05.v0.training import training_loss

FILLERS = [f"word{number}" for number in range(20)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Bit for bit, and no more than a share of a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def shortcut_scores(generator, count):
    """Scores that are known but for .02 once the context is known; which side of it, one word of five says.

    Contexts 0 and 2 lie .015 above the midpoint, 1 and 3 below: the cross-entropy is within .0002 of its least for
    whoever predicts the context's level alone.
    """
    scores = []
    for context in range(4):
        for number in range(count):
            easy = number % 2 == 0
            words = list(generator.choice(FILLERS, 4))
            words.insert(generator.integers(0, 4), "easy" if easy else "hard")
            level = 0.015 if context % 2 == 0 else -0.015
            scores.append(Score(("made", "policy", context), " ".join(words), level + (0.02 if easy else -0.02)))
    return scores


@pytest.fixture(scope="module")
def shortcut():
    generator = np.random.default_rng(1)
    return [shortcut_scores(generator, count) for count in (40, 48, 24)]


def made_embedding(seed=1, **options):
    return make_embedding(FILLERS + ["easy", "hard"], seed=seed, batch_size=64, dropout=0.2, **options)


def test_order_within_a_context_is_learnt_from_the_ranking_loss_alone(tmp_path, shortcut):
    context, queries, held_out = shortcut
    auc = {}
    for weight in (0.25, 0.0):
        embedding = made_embedding()
        train(
            embedding,
            KernelHead(),
            context,
            queries,
            tmp_path / str(weight),
            TrainingOptions(epochs=6, context_size=40, adapter_rate=1e-2, ranking_weight=weight),
        )
        auc[weight] = evaluate(embedding, KernelHead(), context, held_out, context_size=40)["auc_within"]
    assert auc[0.25] > 0.8
    assert auc[0.0] < 0.7


def real_scores(shared_data):
    folder = shared_data / "dapo-math-scores"
    return read_scores(folder / "context.jsonl"), read_scores(folder / "train.jsonl")


def real_embedding(scores, **options):
    return make_embedding([score.prompt for score in scores], batch_size=64, maximum_tokens=48, width=16, **options)


def test_the_loss_on_real_scores_falls(tmp_path, shared_data):
    context, queries = real_scores(shared_data)
    queries = queries[32:96]
    embedding = real_embedding(context + queries, dropout=0.0)
    history = train(
        embedding,
        KernelHead(),
        context,
        queries,
        tmp_path / "run",
        TrainingOptions(epochs=8, context_size=32, adapter_rate=5e-3),
    )
    loss = [row["loss"] for row in history]
    assert np.mean(loss[-2:]) < np.mean(loss[:2]) - 0.05


@pytest.mark.slow
def test_the_loss_on_real_scores_falls_with_a_tuned_backbone(tmp_path, shared_data):
    context, queries = real_scores(shared_data)
    embedding = real_embedding(context + queries)
    before = {name: value.clone() for name, value in embedding.backbone.state_dict().items()}
    history = train(
        embedding,
        KernelHead(),
        context,
        queries,
        tmp_path / "run",
        TrainingOptions(epochs=6, context_size=64, adapter_rate=5e-3, backbone_rate=1e-3),
        held_out=queries,
    )
    assert history[-1]["loss"] < history[0]["loss"] - 0.05
    assert not torch.equal(embedding.backbone.state_dict()["norm.weight"], before["norm.weight"])


def test_loss_against_plain_sums():
    log_odds, target = [0.3, -0.2, 1.5, 2.0], [0.9, 0.4, 0.6, 0.1]
    ranking = -sum(math.log(1 / (1 + math.exp(-d))) for d in (0.5, -0.5)) / 2
    entropy = (
        -sum(
            y * math.log(1 / (1 + math.exp(-x))) + (1 - y) * math.log(1 / (1 + math.exp(x)))
            for x, y in zip(log_odds, target)
        )
        / 4
    )
    found = training_loss(torch.tensor(log_odds), torch.tensor(target))
    assert found.item() == pytest.approx(0.25 * ranking + 0.75 * entropy, rel=1e-6)


@pytest.mark.parametrize("backbone_rate", [0.0, 1e-4])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, shortcut, backbone_rate):
    context, queries, held_out = (part[::3] for part in shortcut)
    options = TrainingOptions(epochs=4, context_size=10, queries=8, backbone_rate=backbone_rate)

    def run(folder, stop_after=None, **details):
        embedding = made_embedding()

        def progress(stage, done, total):
            if stop_after and stage.startswith(f"epoch {stop_after}/") and done > total / 2:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            return embedding, train(
                embedding,
                KernelHead(),
                context,
                queries,
                folder,
                options,
                held_out=held_out,
                progress=progress,
                **details,
            )

    whole, history = run(tmp_path / "whole")
    run(tmp_path / "parts", stop_after=2)
    run(tmp_path / "parts", stop_after=4, resume=True)
    torch.rand(3)  # the state of the host's generator must not matter
    resumed, resumed_history = run(tmp_path / "parts", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert resumed_history == history and [row["epoch"] for row in history] == [1, 2, 3, 4]
    for folder in ("whole", "parts"):
        assert [json.loads(line) for line in open(tmp_path / folder / "metrics.jsonl")] == history
        assert sorted(file.name for file in (tmp_path / folder).iterdir()) == [
            "checkpoint_epoch_0003.pt",
            "checkpoint_epoch_0004.pt",
            "metrics.jsonl",
        ]
    changed = [
        not torch.equal(value, made_embedding().state_dict()[f"backbone.{name}"])
        for name, value in whole.backbone.state_dict().items()
    ]
    assert any(changed) == bool(backbone_rate)


def test_training_leaves_the_random_state_of_its_host(tmp_path, shortcut, monkeypatch):
    """That of a GPU, too: torch.manual_seed would seed them all, and ranks of a trainer would draw the same."""
    context, queries, _ = (part[::3] for part in shortcut)
    save_backbone(tmp_path / "backbone", FILLERS + ["easy", "hard"])
    embedding = made_embedding()
    torch.manual_seed(9)
    for owner, name in ((torch, "manual_seed"), (torch.cuda, "manual_seed_all"), (torch.cuda, "manual_seed")):
        monkeypatch.setattr(owner, name, lambda seed: pytest.fail("seeds a generator that is not its own"))
    PromptEmbedding.from_pretrained(tmp_path / "backbone", seed=3)
    monkeypatch.undo()
    expected = torch.rand(2)
    torch.manual_seed(9)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("seeds a generator that is not its own"))
    train(embedding, KernelHead(), context, queries, tmp_path / "run", TrainingOptions(epochs=1, context_size=8))
    assert torch.equal(torch.rand(2), expected) and not embedding.training


def test_through_tabpfn(tmp_path, shortcut):
    """The official head, from a file in the layout of its version 2.5, with small random weights."""
    context, queries, _ = (part[::5] for part in shortcut)
    head = TabPFNHead(save_tabpfn(tmp_path / "tabpfn-v2.5.ckpt"), estimators=2)
    embedding = made_embedding()
    before = embedding.adapter_layer.proj_kv.weight.clone()
    history = train(embedding, head, context, queries, tmp_path / "run", TrainingOptions(epochs=1, context_size=10))
    assert math.isfinite(history[0]["loss"])
    assert not torch.equal(embedding.adapter_layer.proj_kv.weight, before)
    assert embedding.adapter_layer.generator[4].weight.abs().sum() > 0


def test_folders_that_hold_another_run(tmp_path, shortcut):
    context, queries, _ = (part[::3] for part in shortcut)
    options = TrainingOptions(epochs=1, context_size=8)
    train(made_embedding(), KernelHead(), context, queries, tmp_path / "run", options)
    with pytest.raises(InvalidArgument, match="holds checkpoints: resume, or choose another folder"):
        train(made_embedding(), KernelHead(), context, queries, tmp_path / "run", options)
    with pytest.raises(CheckpointError, match="made with other options: context_size 8, now 9"):
        train(
            made_embedding(),
            KernelHead(),
            context,
            queries,
            tmp_path / "run",
            TrainingOptions(epochs=1, context_size=9),
            resume=True,
        )


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path, shortcut):
    context, queries, _ = (part[::3] for part in shortcut)

    def head(*arguments):
        head.calls += 1
        return KernelHead()(*arguments) * (math.nan if head.calls > head.limit else 1)

    head.calls, head.limit = 0, 100
    options = TrainingOptions(epochs=2, context_size=8, queries=2)
    progress_calls = []

    def progress(stage, done, total):
        progress_calls.append(stage)
        head.limit = total + 2

    embedding = made_embedding()
    with pytest.raises(Error, match="loss is not finite"):
        train(embedding, head, context, queries, tmp_path / "run", options, progress=progress)
    assert [path.name for path in (tmp_path / "run").glob("*.pt")] == ["checkpoint_epoch_0001.pt"]
    assert progress_calls[0].startswith("epoch 1/2  loss 0.")
    assert not embedding.training


def test_scores_that_cannot_be_judged_are_told_before_the_first_epoch(tmp_path, shortcut):
    context, queries, held_out = (part[::3] for part in shortcut)
    strange = [replace(score, context=("made", "another model", 0)) for score in held_out]
    options = TrainingOptions(epochs=1, context_size=8)
    with pytest.raises(InvalidArgument, match="has no prompts of both classes to show"):
        train(made_embedding(), None, context, queries, tmp_path / "run", options, held_out=strange)
    assert not (tmp_path / "run").exists()
    shares = [[replace(score, score=abs(score.score)) for score in part] for part in (context, queries)]
    with pytest.raises(InvalidArgument, match=r"below and above the midpoint of reward_range, which is \(-1.0, 1.0\)"):
        train(made_embedding(), None, *shares, tmp_path / "run", options)


def test_what_fails_after_an_epoch_does_not_cost_it(tmp_path, shortcut, monkeypatch):
    context, queries, held_out = (part[::3] for part in shortcut)
    options, output = TrainingOptions(epochs=2, context_size=8), tmp_path / "run"

    def arguments(embedding):
        return embedding, KernelHead(), context, queries

    expected = train(*arguments(made_embedding()), tmp_path / "whole", options, held_out=held_out)
    with monkeypatch.context() as patched:
        patched.setattr("v05.v0.training.evaluate", lambda *a, **k: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            train(*arguments(made_embedding()), output, options, held_out=held_out)
    for cut in ("", '{"epoch": 1, "lo', "[]\n7\n"):  # what a full disk leaves of the figures
        (output / "metrics.jsonl").write_text(cut)
        again = tmp_path / f"again {len(cut)}"
        shutil.copytree(output, again)
        found = train(*arguments(made_embedding(seed=5)), again, options, held_out=held_out, resume=True)
        assert found == [{"epoch": 1}, expected[1]]
        (again / "metrics.jsonl").unlink()
        assert train(*arguments(made_embedding()), again, options, resume=True) == [{"epoch": 1}, {"epoch": 2}]


@pytest.mark.parametrize("backbone_rate", [0.0, 1e-4])
def test_a_backbone_that_does_not_learn_has_no_dropout(tmp_path, shortcut, backbone_rate):
    context, queries, _ = (part[::3] for part in shortcut)
    embedding, modes = made_embedding(), []

    def head(*features):
        modes.append((embedding.adapter_layer.training, embedding.backbone.training))
        return KernelHead()(*features)

    options = TrainingOptions(epochs=1, context_size=8, backbone_rate=backbone_rate)
    train(embedding, head, context, queries, tmp_path / "run", options)
    assert set(modes) == {(True, backbone_rate > 0)}
    with pytest.raises(ZeroDivisionError):
        evaluate(embedding.train(), lambda *features: 1 / 0, context, queries, context_size=8)
    assert embedding.training
    with pytest.raises(Error, match="log-odds that are not finite"):
        evaluate(embedding, lambda *features: torch.full((len(features[2]),), math.nan), context, queries)


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"epochs": 0}, InvalidArgument, "epochs must be at least 1"),
        ({"epochs": 1.5}, ArgumentTypeError, "epochs must be a number of type int"),
        ({"queries": 1}, InvalidArgument, "queries must be at least 2"),
        ({"ranking_weight": 1.1}, InvalidArgument, "ranking_weight must be at most 1"),
        ({"adapter_rate": math.nan}, InvalidArgument, "adapter_rate must be at least 0 and finite"),
        ({"adapter_rate": "fast"}, ArgumentTypeError, "adapter_rate must be a number"),
        ({"reward_range": (1, -1)}, InvalidArgument, "reward_range must be finite with low < high"),
        ({"adapter_rate": 0}, InvalidArgument, "adapter_rate and backbone_rate must not both be 0"),
    ],
)
def test_bad_options(options, error, words):
    with pytest.raises(error, match=words):
        TrainingOptions(**options)


@pytest.fixture
def folder(tmp_path, shortcut):
    """A data folder in the layout of the V_0 data, and a backbone, as a user has them."""
    number, prompts = 0, []
    for name, part in zip(("context", "train"), shortcut):
        with open(tmp_path / f"{name}.jsonl", "w") as file:
            for score in part[::3]:
                number += 1
                prompts.append({"id": f"made_{number}", "prompt": score.prompt})
                dataset, model, step = score.context
                row = {"id": number, "score": score.score, "model": model, "step": step, "dataset": dataset}
                file.write(json.dumps(row) + "\n")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    save_backbone(tmp_path / "backbone", FILLERS + ["easy", "hard"])
    return tmp_path


def test_commands_from_data_to_a_prior(folder, capsys):
    common = [str(folder), "--embedding-model", str(folder / "backbone"), "--head", "kernel", "--json"]
    trained = [
        "v0",
        "train",
        *common,
        "--output",
        str(folder / "run"),
        "--context-size",
        "10",
        "--held-out",
        str(folder / "train.jsonl"),
        "--epochs",
        "2",
    ]
    assert main(trained) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out)
    assert figures["epoch"] == 2 and 0 <= figures["auc_within"] <= 1 and "checkpoints and metrics.jsonl" in err
    checkpoint = folder / "run" / "checkpoint_epoch_0002.pt"
    evaluate_it = ["v0", "evaluate", *common, "--checkpoint", str(checkpoint)]
    assert main([*evaluate_it, "--context-size", "10", "--seed", "42"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated == {name: pytest.approx(figures[name], abs=1e-6) for name in evaluated}
    assert main(["v0", "evaluate", *common[:-1], "--checkpoint", str(checkpoint)]) == 0
    assert "auc_within" in capsys.readouterr().out
    # And into a trainer: the checkpoint is one in the official layout.
    prior = V0Prior.from_pretrained(checkpoint, str(folder / "backbone"), head="kernel", reward_range=(-1, 1))
    scores = read_scores(folder / "context.jsonl")
    with pytest.warns(UserWarning, match="short"):
        prior.fit([score.prompt for score in scores], [score.score for score in scores])
    value, deviation = prior.predict(["easy word1", "hard word2"])
    assert np.isfinite(value).all() and (deviation > 0).all()


def test_commands_say_what_is_wrong(folder, capsys):
    common = [str(folder), "--embedding-model", str(folder / "backbone")]
    assert main(["v0", "train", *common, "--output", str(folder / "run"), "--head", "kernel", "--epochs", "0"]) == 2
    assert "epochs must be at least 1" in capsys.readouterr().err
    assert main(["v0", "evaluate", *common, "--checkpoint", str(folder / "absent.pt"), "--head", "kernel"]) == 2
    assert "checkpoint must be a file" in capsys.readouterr().err
    weights = folder / "backbone" / "model.safetensors"
    whole = weights.read_bytes()
    (folder / "listed.jsonl").write_text(
        json.dumps({"dataset": "made", "id": 1, "model": ["A"], "step": 0, "score": 1.0}) + "\n"
    )
    for action, rest in (("train", ["--output", str(folder / "run")]), ("evaluate", ["--checkpoint", "none.pt"])):
        for options, message in (
            (["--device", "gpu"], "device must be one that PyTorch has here, got 'gpu'"),
            (["--batch-size", "0"], "batch_size must be at least 1, got 0"),
            (["--maximum-tokens", "0"], "maximum_tokens must be at least 1, got 0"),
            (["--context-size", "-1"], "context_size must be at least 2"),
            (["--context", str(folder / "listed.jsonl")], "line 1: model must be a text or a number, got ['A']"),
        ):
            if action == "evaluate" and options[0] in ("--batch-size", "--maximum-tokens"):
                continue  # after the checkpoint has been read
            assert main(["v0", action, *common, *rest, "--head", "kernel", *options]) == 2
            told = capsys.readouterr().err
            assert message in told and "a fault of v05" not in told
    for damaged in (whole[: len(whole) // 2], b"version https://git-lfs.github.com/spec/v1\n"):
        weights.write_bytes(damaged)
        assert main(["v0", "train", *common, "--output", str(folder / "run"), "--head", "kernel"]) == 2
        assert "embedding_model cannot be loaded from" in capsys.readouterr().err
    weights.write_bytes(whole)
    for file in (folder / "backbone").glob("tokenizer*"):
        file.unlink()
    assert main(["v0", "train", *common, "--output", str(folder / "run"), "--head", "kernel"]) == 2
    assert "embedding_model" in capsys.readouterr().err and not list(folder.glob("run/*.pt"))
    pytest.importorskip("tabpfn", reason="the official head needs tabpfn")
    assert main(["v0", "train", *common, "--output", str(folder / "run")]) == 2
    assert "tabpfn_model must be the file of a TabPFN classifier" in capsys.readouterr().err
