"""The context that training leaves behind: what stays, what goes, what comes back from a file."""

import pickle
from hashlib import blake2b

import numpy as np
import pytest
import v05
from v05.priors import ContextBuffer


def filled(batches, capacity=64, size=16, seed=0):
    generator = np.random.default_rng(seed)
    buffer = ContextBuffer(capacity)
    for step in range(batches):
        buffer.add([f"prompt {step * size + row}" for row in range(size)], generator.random(size), step)
    return buffer


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one.pairs(), two.pairs(), strict=True))


def test_the_latest_score_of_each_prompt_stays():
    buffer = ContextBuffer()
    buffer.add(["a", "b", "a"], [0.0, 1.0, 1.0], 3)
    buffer.add(["b", "c"], [0.25, 0.75], 4)
    prompts, scores, steps = buffer.pairs()
    assert prompts == ["a", "b", "c"] and scores.tolist() == [0.5, 0.25, 0.75] and steps.tolist() == [3, 4, 4]


def test_bounded_recent_and_diverse():
    buffer = filled(200)
    _, _, steps = buffer.pairs()
    assert len(buffer) == len(steps) == 64
    assert (steps >= 198).mean() > 0.4  # nearly all 32 of the two latest steps
    assert np.median(steps) >= 196 and steps.min() < 196 and len(np.unique(steps)) > 4
    assert steps.min() > 200 - 40  # what is 10 times the capacity ago is gone


def test_neither_the_order_of_rows_nor_the_seed_of_the_process_matters():
    generator = np.random.default_rng(1)
    one, two = ContextBuffer(32), ContextBuffer(32)
    for step in range(10):
        prompts = np.array([f"{step} {row}" for row in range(20)])
        scores = generator.random(20)
        order = generator.permutation(20)
        one.add(prompts.tolist(), scores, step)
        two.add(prompts[order].tolist(), scores[order], step)
    assert same(one, two)


def test_what_stays_is_the_same_in_every_release():
    kept = ContextBuffer(4)
    prompts = [f"prompt {row}" for row in range(32)]
    kept.add(prompts, np.linspace(0, 1, 32), 7)

    def rank(prompt):  # the noise grows with the hash
        return int.from_bytes(blake2b(f"7 {prompt}".encode(), digest_size=8).digest(), "little")

    assert kept.pairs()[0] == sorted(sorted(prompts, key=rank)[-4:])


def test_a_sorted_curriculum_does_not_make_the_context_one_class():
    buffer = ContextBuffer(64)
    for step in range(100):  # two hundred easy prompts after many hard ones
        buffer.add([f"prompt {step} {row}" for row in range(16)], np.full(16, float(step >= 96)), step)
    _, scores, _ = buffer.pairs()
    assert 0 < scores.mean() < 1


def test_megabytes_keep_their_ends():
    buffer = ContextBuffer()
    text = "begin " + "x" * 3_000_000 + " end"
    buffer.add([text, "a\ud800b"], [0.5, 0.5], 0)
    long = next(prompt for prompt in buffer.pairs()[0] if prompt.startswith("begin"))
    assert len(long) == 16_384 and long.endswith(" end")


@pytest.mark.parametrize(
    "prompts, scores, step, kind, message",
    [
        (["a", "b"], [0.5], 0, v05.InvalidArgument, "one entry per prompt"),
        (["a", "b"], [0.5, 1.5], 0, v05.InvalidArgument, r"scores\[1\] must lie in \[0, 1\], got 1.5"),
        (["a", "b"], [np.nan, 0.5], 0, v05.InvalidArgument, r"scores\[0\] must lie in"),
        (["a", ""], [0.5, 0.5], 0, v05.InvalidArgument, r"prompts\[1\] must not be empty"),
        (["a", " \n"], [0.5, 0.5], 0, v05.InvalidArgument, r"prompts\[1\] must not be empty"),
        (["a", 3], [0.5, 0.5], 0, v05.ArgumentTypeError, r"prompts\[1\] must be a string, got int"),
        ("ab", [0.5, 0.5], 0, v05.ArgumentTypeError, "sequence of strings"),
        (["a", "b"], [0.5, 0.5], 1.5, v05.ArgumentTypeError, "step must be an integer"),
    ],
)
def test_bad_additions_change_nothing(prompts, scores, step, kind, message):
    buffer = filled(3)
    before = buffer.state_dict()
    with pytest.raises(kind, match=message):
        buffer.add(prompts, scores, step)
    assert buffer.state_dict() == before


def test_bad_options():
    with pytest.raises(v05.InvalidArgument, match="capacity must be at least 1"):
        ContextBuffer(0)
    with pytest.raises(v05.InvalidArgument, match="reward_range"):
        ContextBuffer(reward_range=(1, 1))


def test_saved_loaded_and_gone_on_with(tmp_path):
    whole = filled(40)
    part = filled(20)
    part.save(tmp_path / "context")
    part = ContextBuffer.load(tmp_path / "context")
    assert same(part, filled(20)) and same(pickle.loads(pickle.dumps(part)), part)
    assert [path.name for path in tmp_path.iterdir()] == ["context"]
    generator = np.random.default_rng(0)
    generator.random(20 * 16)
    for step in range(20, 40):
        part.add([f"prompt {step * 16 + row}" for row in range(16)], generator.random(16), step)
    assert part.state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:10],
        lambda data: b"",
        lambda data: data.replace(b"prompt 5", b"prompt 6"),
        lambda data: v05.History().state_dict()["checkpoint"],
    ],
)
def test_damaged_bytes_change_nothing(damage):
    buffer = filled(3)
    data = buffer.state_dict()["checkpoint"]
    with pytest.raises(v05.CheckpointError):
        buffer.load_state_dict({"checkpoint": damage(data)})
    assert buffer.state_dict()["checkpoint"] == data
