"""One run as it comes out of harnesses, spreadsheets and scripts: read right, or an error that says what to do."""

import csv
import json
import pickle
import unicodedata
import zipfile

import numpy as np
import pytest
from test_logs_as_people_have_them import (
    GROUP,
    PROMPTS,
    RUN,
    STEPS,
    SUMS,
    document,
    lines,
    of_step,
    plain,
    shuffled,
    sums,
    table,
)
from v05.commands.logs import LogError, fields_of, read_log
from v05.commands.replay import replay
from v05.commands.replay.visits import gather_visits


def rewards_of(step, prompt):
    return [r for s, p, k, r in of_step(step) if p == prompt]


def group_rows(**more):
    """A row a group, with a function of its rewards in each of some fields."""
    return [
        {"step": step, "prompt": f"question {p}"} | {name: make(rewards_of(step, p)) for name, make in more.items()}
        for step, p in SUMS
    ]


def spreadsheet(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def lists_in_cells(folder):
    return spreadsheet(folder / "log.csv", group_rows(rewards=lambda rewards: str([int(r) for r in rewards])))


def lists_and_completions_in_cells(folder):
    return spreadsheet(
        folder / "log.csv",
        group_rows(
            completions=lambda rewards: str(["it's", '"x"']), rewards=lambda rewards: str(list(map(bool, rewards)))
        ),
    )


def arrays_in_cells(folder):
    return spreadsheet(folder / "log.csv", group_rows(rewards=lambda rewards: str(np.array(rewards))))


def numpy_scalars_in_cells(folder):
    return spreadsheet(
        folder / "log.csv", group_rows(rewards=lambda rewards: f"[{', '.join(f'np.float64({r})' for r in rewards)}]")
    )


def scalars_of_numpy_and_pytorch(folder):
    """As str() of a reward that is no plain number: of json.dumps(row, default=str), or in a cell."""
    forms = ["np.float32({})", "tensor({})", "tensor({}, device='cuda:0', grad_fn=<MeanBackward0>)", "array({})"]
    rows = [row | {"reward": forms[n % 4].format(row["reward"])} for n, row in enumerate(plain())]
    return lines(folder / "log.jsonl", [row | {"reward": "np.True_"} if row["reward"] == 1 else row for row in rows])


def tensors_in_cells(folder):
    return spreadsheet(folder / "log.csv", group_rows(rewards=lambda rewards: f"tensor({rewards}, device='cuda:0')"))


def lists_of_tensors_in_cells(folder):
    return spreadsheet(
        folder / "log.csv",
        group_rows(rewards=lambda rewards: f"[{', '.join(f'tensor({r}, dtype=torch.bfloat16)' for r in rewards)}]"),
    )


def lists_as_text(folder):
    return lines(folder / "log.jsonl", group_rows(rewards=json.dumps))


def objects_in_cells(folder):
    return spreadsheet(
        folder / "log.csv", [row | {"reward": str({"score": row["reward"], "length": 3})} for row in plain()]
    )


def prompts_like_lists(folder):
    return spreadsheet(
        folder / "log.csv", [{"prompt": str(list(range(p + 1))), "reward": r, "step": s} for s, p, k, r in RUN]
    )


def commas_for_points(folder):
    return lines(folder / "log.jsonl", [row | {"reward": str(row["reward"]).replace(".", ",")} for row in plain()])


def columns_by_index(folder):
    """As pandas writes a table unless it is told otherwise."""
    rows = plain()
    return document(folder / "log.json", {name: {str(n): row[name] for n, row in enumerate(rows)} for name in rows[0]})


def tables_joined_with_their_headers(folder):
    """cat step_*.csv > log.csv"""
    parts = [spreadsheet(folder / "part.csv", plain(of_step(step))).read_text() for step in range(STEPS)]
    (folder / "log.csv").write_text("".join(parts))
    return folder / "log.csv"


def comments_before_a_table(folder):
    path = spreadsheet(folder / "log.csv", plain())
    path.write_text("# run 7\n\n# lr = 1e-6, kl = 0\n" + path.read_text())
    return path


def comments_before_a_header_that_is_one(folder):
    path = spreadsheet(folder / "log.csv", plain())
    path.write_text("# run 7\n# " + path.read_text())
    return path


def comments_between_lines(folder):
    text = [json.dumps(row) + "\n" for row in plain()]
    path = folder / "log.jsonl"
    path.write_text("".join(["# run 7\n", "// lr, kl\n", *text[:300], "# resumed\n", *text[300:]]))
    return path


def joined_files_with_marks(folder):
    text = ["".join(json.dumps(row) + "\n" for row in part) for part in (plain()[:300], plain()[300:])]
    (folder / "log.jsonl").write_text("".join("\ufeff" + part for part in text))
    return folder / "log.jsonl"


def one_object_for_each_thing(folder):
    return lines(
        folder / "log.jsonl",
        [{"rollout": {"prompt": f"question {p}", "reward": r}, "trainer": {"step": s}} for s, p, k, r in shuffled(RUN)],
    )


def step_inside(folder):
    return lines(
        folder / "log.jsonl",
        [{"prompt": f"question {p}", "reward": r, "metadata": {"global_step": s}} for s, p, k, r in shuffled(RUN)],
    )


def steps_as_names(folder):
    return document(
        folder / "log.json",
        {
            f"step_{s}": [{"prompt": f"question {p}", "reward": r} for _, p, _, r in shuffled(of_step(s))]
            for s in range(STEPS)
        },
    )


def steps_of_a_rollout_beside(folder):
    return lines(
        folder / "log.jsonl",
        [{"prompt": f"question {p}", "steps": k + 3, "iteration": s, "reward": r} for s, p, k, r in RUN],
    )


def names_in_capitals(folder):
    return lines(
        folder / "log.jsonl",
        [{"promptText": f"question {p}", "rewardScore": r, "globalStep": s} for s, p, k, r in shuffled(RUN)],
    )


def raw_rewards(folder):
    return lines(
        folder / "log.jsonl",
        [{"prompts": f"question {p}", "raw_reward": r, "mean_reward": 0.5, "step": s} for s, p, k, r in RUN],
    )


def instructions(folder):
    """An instruction whose input is the question."""
    return lines(
        folder / "log.jsonl",
        [{"instruction": "Add." if p % 2 else "Sum.", "input": f"{p}", "reward": r, "step": s} for s, p, k, r in RUN],
    )


def instructions_that_are_empty(folder):
    return lines(
        folder / "log.jsonl",
        [{"instruction": "", "full_prompt": f"question {p}", "reward": r, "step": s} for s, p, k, r in RUN],
    )


def parts_of_messages(folder):
    return lines(folder / "log.jsonl", [row | {"prompt": [{"type": "text", "text": row["prompt"]}]} for row in plain()])


def chats_of_gemini(folder):
    def chat(p):
        return [{"role": role, "parts": [{"text": text}]} for role, text in (("user", f"question {p}"), ("model", "x"))]

    return lines(folder / "log.jsonl", [{"messages": chat(p), "reward": r, "step": s} for s, p, k, r in RUN])


def sample_after_sample(folder):
    """The first rollout of every prompt, then the second of every prompt ..., without a step."""
    rows = [
        {"prompt": f"question {p}", "sample_idx": k, "reward": r}
        for step in range(STEPS)
        for s, p, k, r in sorted(of_step(step), key=lambda row: (row[2], row[1]))
    ]
    return lines(folder / "log.jsonl", rows)


def events_between(folder):
    """A configuration, and what else happened, in one file with the rollouts."""
    rows = [{"run": "a", "config": {"lr": 1e-6}}]
    for step in range(STEPS):
        rows += [{"event": "begun", "step": step}, *plain(of_step(step)), {"event": "saved", "loss": 0.1, "step": step}]
    return lines(folder / "log.jsonl", rows)


def several_spellings(folder):
    """White space at the ends, the ends of lines, and letters of several Unicode forms."""

    def spelt(p, k):
        text = f"première\nquestion {p}"
        return (text, text + " ", unicodedata.normalize("NFD", text), text.replace("\n", "\r\n"))[k % 4]

    rows = [row | {"prompt": spelt(p, k)} for row, (s, p, k, r) in zip(plain(), RUN)]
    return lines(folder / "log.jsonl", rows)


def several_spellings_of_a_chat(folder):
    def chat(p, k):
        turn = {"role": "user", "content": unicodedata.normalize("NFC" if k % 2 else "NFD", f"é {p}")}
        return [turn | ({"name": None} if k % 3 else {"id": str(k)})]

    return lines(folder / "log.jsonl", [{"prompt": chat(p, k), "reward": r, "step": s} for s, p, k, r in RUN])


def numbered(folder, told=True):
    for step in range(STEPS):
        rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in shuffled(of_step(step))]
        rows = [row | {"completion": f"{step} {place}"} if told else row for place, row in enumerate(rows)]
        lines(folder / f"step_{step}.jsonl", rows)
    return folder


def the_last_beside_numbered(folder):
    last = numbered(folder) / f"step_{STEPS - 1}.jsonl"
    (folder / "current.jsonl").write_text(last.read_text())
    return folder


def all_beside_numbered(folder):
    files = sorted(numbered(folder, told=False).glob("step_*"))
    (folder / "all.jsonl").write_text("".join(file.read_text() for file in files))
    return folder


def part_beside_numbered(folder):
    files = sorted(numbered(folder).glob("step_*"))
    (folder / "last").mkdir()
    (folder / "last" / "two.jsonl").write_text("".join(file.read_text() for file in files[-2:]))
    return folder


def a_table_beside_numbered(folder):
    return spreadsheet(
        numbered(folder) / "all.csv", [{"prompt": row["prompt"], "reward": row["reward"]} for row in plain()]
    ).parent


def a_table_with_steps_beside_numbered(folder):
    return spreadsheet(numbered(folder) / "all.csv", plain()).parent


def files_that_grow(folder):
    """Each holds all that the one before holds, and a step more."""
    for step in range(STEPS):
        rows = [{"prompt": row["prompt"], "reward": row["reward"]} for row in plain() if row["step"] <= step]
        lines(folder / f"rollouts_{step}.jsonl", rows)
    return folder


def tables_that_grow(folder):
    for step in range(STEPS):
        spreadsheet(folder / f"rollouts_{step}.csv", [row for row in plain() if row["step"] <= step])
    return folder


def lists_in_a_table(folder):
    rows = group_rows(rewards=str)
    return document(folder / "t.table.json", {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]})


def step_inside_of_parquet(folder):
    rows = [{"prompt": f"question {p}", "meta": {"global_step": s}, "reward": r} for s, p, k, r in shuffled(RUN)]
    return table(folder / "log.parquet", rows)


def tinker(folder):
    for step in range(STEPS):
        rows = [
            {"split": "train", "iteration": step, "group_idx": p, "traj_idx": k, "total_reward": r, "final_reward": 0.0}
            | {"steps": [{"step_idx": 0, "reward": r, "metrics": {}}], "prompt": f"question {p}"}
            for s, p, k, r in of_step(step)
        ]
        lines(folder / f"iteration_{step:06d}" / "train_rollout_summaries.jsonl", rows)
    return folder


def atropos(folder):
    """A line a group, with a chat of each rollout."""

    def chat(p, k):
        return [{"role": "user", "content": f"question {p}"}, {"role": "assistant", "content": f"{k}"}]

    rows = [
        {"tokens": [[1]] * GROUP, "masks": [[1]] * GROUP, "scores": rewards_of(step, p), "advantages": None}
        | {"messages": [chat(p, k) for k in range(GROUP)]}
        for step, p in SUMS
    ]
    return lines(folder / "groups.jsonl", rows)


EVERY = [
    lists_in_cells,
    lists_and_completions_in_cells,
    arrays_in_cells,
    numpy_scalars_in_cells,
    scalars_of_numpy_and_pytorch,
    tensors_in_cells,
    lists_of_tensors_in_cells,
    tables_joined_with_their_headers,
    comments_before_a_table,
    comments_before_a_header_that_is_one,
    comments_between_lines,
    lists_as_text,
    objects_in_cells,
    prompts_like_lists,
    commas_for_points,
    columns_by_index,
    joined_files_with_marks,
    one_object_for_each_thing,
    step_inside,
    steps_as_names,
    steps_of_a_rollout_beside,
    names_in_capitals,
    raw_rewards,
    instructions,
    instructions_that_are_empty,
    parts_of_messages,
    chats_of_gemini,
    sample_after_sample,
    events_between,
    several_spellings,
    several_spellings_of_a_chat,
    the_last_beside_numbered,
    all_beside_numbered,
    part_beside_numbered,
    a_table_beside_numbered,
    a_table_with_steps_beside_numbered,
    files_that_grow,
    tables_that_grow,
    lists_in_a_table,
    step_inside_of_parquet,
    tinker,
    atropos,
]


@pytest.mark.parametrize("write", EVERY, ids=lambda write: write.__name__)
def test_a_run_is_read_whole(write, tmp_path):
    visits = gather_visits(read_log(write(tmp_path)))
    assert (visits.count == GROUP).all() and len(visits.batches) == STEPS + 1
    of_prompts = {}
    for prompt, total in zip(visits.prompt.tolist(), sums(visits).tolist()):
        of_prompts.setdefault(prompt, []).append(total)
    expected = sorted([SUMS[step, prompt] for step in range(STEPS)] for prompt in range(PROMPTS))
    assert sorted(of_prompts.values()) == expected


def evaluated(sample):
    """The samples of all questions, of each the 8 rollouts of the first step, in the order that inspect writes."""
    return [sample(p, k, r) for s, p, k, r in sorted(of_step(0), key=lambda row: (row[2], row[1]))]


def inspect_sample(p, k, r):
    scores = {"match": {"value": "C" if r else "I", "answer": "1", "history": []}}
    chat = [{"id": f"{p}{k}", "role": "user", "content": f"question {p}"}]
    return {"id": p, "epoch": k + 1, "input": chat, "target": "1", "messages": chat, "scores": scores}


def inspect(folder):
    return document(folder / "log.json", {"version": 2, "eval": {"task": "t"}, "samples": evaluated(inspect_sample)})


def inspect_archive(folder, model="m"):
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"version": 2, "eval": {"model": model}}))
        archive.writestr("summaries.json", json.dumps([{"id": 0, "epoch": 1, "input": "x", "scores": {}}]))
        for sample in evaluated(inspect_sample):
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    return folder


def opencompass(folder):
    def sample(p, k, r):
        prompt = [{"role": "SYSTEM", "prompt": "be brief"}, {"role": "HUMAN", "prompt": f"question {p}"}]
        return {"prompt": prompt, "origin_prediction": "x", "predictions": "1", "references": "1", "correct": bool(r)}

    details = {str(number): row for number, row in enumerate(evaluated(sample))}
    return document(folder / "aime.json", {"accuracy": 50.0, "details": {"type": "GEN"} | details})


def multipl_e(folder):
    for p in range(PROMPTS):
        content = {"name": f"f_{p}", "language": "py", "prompt": f"def f_{p}():", "completions": ["x"] * GROUP}
        results = [{"exit_code": 1 - r, "status": "OK" if r else "Timeout", "stdout": ""} for r in rewards_of(0, p)]
        document(folder / f"f_{p}.results.json", content | {"results": results})
    return folder


def eval_plus(folder):
    def row(p, r):
        return {
            "task_id": f"HumanEval/{p}",
            "solution": "x",
            "base_status": "pass",
            "plus_status": "pass" if r else "timeout",
        }

    content = {f"HumanEval/{p}": [row(p, r) for r in rewards_of(0, p)] for p in range(PROMPTS)}
    return document(
        folder / "eval_results.json", {"date": "x", "eval": content, "pass_at_k": {"base": {"pass@1": 0.5}}}
    )


def terminal_bench(folder):
    """The document's own accuracy is the reward of none of its trials."""
    rows = [
        {"trial_name": f"t{p}.{k}", "task_id": f"t{p}", "instruction": f"question {p}", "is_resolved": bool(r)}
        for s, p, k, r in of_step(0)
    ]
    return document(folder / "results.json", {"accuracy": 0.4, "results": rows})


def ifeval(folder):
    rows = [
        {"prompt": f"question {p}", "follow_all_instructions": bool(r), "follow_instruction_list": [bool(r), True]}
        for s, p, k, r in of_step(0)
    ]
    return lines(folder / "results.jsonl", rows)


HARNESSES = [
    (inspect, {}),
    (inspect_archive, {}),
    (opencompass, {"group": "prompt"}),
    (multipl_e, {}),
    (eval_plus, {"reward": "plus_status"}),
    (terminal_bench, {}),
    (ifeval, {}),
]


@pytest.mark.parametrize("write, options", HARNESSES, ids=lambda value: getattr(value, "__name__", ""))
def test_harnesses_write_one_visit_per_question(write, options, tmp_path):
    visits = gather_visits(read_log(write(tmp_path), fields=fields_of(**options)))
    assert (visits.count == GROUP).all() and not visits.earlier.any()
    assert sorted(sums(visits).tolist()) == sorted(SUMS[0, prompt] for prompt in range(PROMPTS))


def test_what_stands_around_rollouts_is_the_reward_of_none(tmp_path):
    """A document whose rollouts have no reward by a known name is asked about, not read with its mean."""
    rows = [{"prompt": f"question {p}", "grade": r} for s, p, k, r in of_step(0)]
    path = document(tmp_path / "results.json", {"score": 0.4, "results": rows})
    with pytest.raises(LogError, match="no known log format: found score, prompt, grade|found prompt, grade"):
        read_log(path)
    assert sum(read_log(path, fields=fields_of(reward="grade")).reward) == sum(row["grade"] for row in rows)


def test_rewards_that_are_fewer_than_completions_are_an_error(tmp_path):
    row = {"step": 1, "prompt": "q", "rewards": [1, 0, 1], "completions": ["a", "b", "c", "d"]}
    with pytest.raises(LogError, match="line 1: completions has 4 entries where rewards has 3"):
        read_log(lines(tmp_path / "log.jsonl", [row]))


def test_two_endings_of_a_program_are_an_error_that_asks(tmp_path):
    with pytest.raises(LogError, match="several fields may be the reward: base_status, plus_status; name it by"):
        read_log(eval_plus(tmp_path))


def test_evaluations_of_two_models_are_an_error_that_asks(tmp_path):
    for model in ("a", "b"):
        content = {"version": 2, "eval": {"task": "t", "model": model}, "samples": evaluated(inspect_sample)}
        document(tmp_path / f"{model}.json", content)
    with pytest.raises(LogError, match="several: model is a, b; --where model=a reads one"):
        read_log(tmp_path)
    assert (gather_visits(read_log(tmp_path, fields=fields_of(where=["model=b"]))).count == GROUP).all()
    for model in ("a", "b"):
        inspect_archive(tmp_path / "archives" / model, model)
    with pytest.raises(LogError, match="several: model is a, b"):
        read_log(tmp_path / "archives")


def test_requests_of_helm_hold_no_scores(tmp_path):
    row = {"instance": {"input": {"text": "q"}, "id": "id1"}, "request": {"prompt": "q"}}
    row |= {"result": {"success": True, "completions": [{"text": "x", "logprob": -1.0}] * 4}}
    with pytest.raises(LogError, match="no known log format"):
        read_log(document(tmp_path / "scenario_state.json", {"request_states": [row] * 4}))


def test_what_was_decided_is_told(tmp_path):
    for write, note in (
        (several_spellings, "12 prompts stand there in several spellings"),
        (instructions, "The same text with another input is another prompt."),
        (events_between, "Records with neither prompt nor reward are no rollouts: 13."),
        (all_beside_numbered, "all.jsonl was not counted: no step in its name"),
    ):
        folder = tmp_path / write.__name__
        folder.mkdir()
        assert any(note in said for said in read_log(write(folder)).notes), note


def test_another_file_beside_numbered_ones_is_no_copy(tmp_path):
    """Files of which one has no step in its name have none, and rollouts in no order are then an error that asks."""
    numbered(tmp_path)
    lines(tmp_path / "warm-up.jsonl", [{"prompt": f"question {p}", "reward": 1 - r} for s, p, k, r in of_step(0)])
    with pytest.raises(LogError, match="do not stand together, .* by --step FIELD or --group FIELD"):
        read_log(tmp_path)


def test_rollouts_in_no_order_are_an_error_that_asks(tmp_path):
    rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in shuffled(RUN)]
    path = lines(tmp_path / "log.jsonl", rows)
    with pytest.raises(LogError, match="do not stand together, .* where a prompt has one visit, .* --group prompt"):
        read_log(path)
    visits = gather_visits(read_log(path, fields=fields_of(group="prompt")))
    assert visits.count.tolist() == [GROUP * STEPS] * PROMPTS


def test_samples_one_after_the_other_without_a_number(tmp_path):
    """They may be visits of one rollout, or one visit: the error says how to tell."""
    rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in sorted(of_step(0), key=lambda row: row[2])]
    path = lines(tmp_path / "log.jsonl", rows)
    with pytest.raises(LogError, match="no prompt has more than 1 rollouts .* --group with the field of the prompt"):
        replay(path)
    assert (gather_visits(read_log(path, fields=fields_of(group="prompt"))).count == GROUP).all()


def test_numbers_of_rollouts_that_are_none_of_a_group(tmp_path):
    """They go on through the step, are the same everywhere, or by chance."""
    for make in (lambda p, k: 8 * p + k, lambda p, k: 42, lambda p, k: p * k % 5):
        rows = [{"prompt": f"question {p}", "sample_idx": make(p, k), "reward": r} for s, p, k, r in RUN]
        visits = gather_visits(read_log(lines(tmp_path / "log.jsonl", rows)))
        assert (visits.count == GROUP).all() and len(visits.batches) == STEPS + 1


def test_few_rollouts_for_most_prompts_are_no_disorder(tmp_path):
    """As a trainer allocates them: one for most prompts, 8 for some, without a step."""
    rows = [
        {"prompt": f"question {p}", "reward": (p + k) % 2}
        for step in range(6)
        for p in range(40)
        for k in range(8 if (p + step) % 5 == 0 else 1)
    ]
    visits = gather_visits(read_log(lines(tmp_path / "log.jsonl", rows)))
    assert len(visits.count) == 6 * 40 and set(visits.count.tolist()) == {1, 8}


def test_a_step_that_counts_turns_is_an_error_that_asks(tmp_path):
    rows = [{"prompt": f"question {p}", "steps": (7 * k + 3 * p + s) % 5, "reward": r} for s, p, k, r in RUN]
    with pytest.raises(LogError, match="steps goes up and down, .* --step FIELD names the step of the training"):
        read_log(lines(tmp_path / "log.jsonl", rows))
    rows = [
        {"prompt": f"question {p}", "trajectory_id": f"{s}.{p}.{k}", "step": turn, "reward": r}
        for s, p, k, r in RUN
        for turn in range(3)
    ]
    with pytest.raises(LogError, match="step differs between the rows of one trajectory_id, as its turns; --step"):
        read_log(lines(tmp_path / "log.jsonl", rows))


def test_a_step_that_the_first_rows_lack(tmp_path):
    rows = [row if place > 2 else {**row, "step": None} for place, row in enumerate(plain())]
    for row in rows[:3]:
        del row["step"]
    with pytest.raises(LogError, match="line 1: step is missing; give every rollout a step, or none"):
        read_log(lines(tmp_path / "log.jsonl", rows))


@pytest.mark.parametrize(
    "reward, message",
    [
        ("1_0", "reward must be a number"),
        ("1,000", "reward must be a number"),  # one, or a thousand
        ("[1, x]", "reward must be a number"),
        ("[" * 1000, "reward must be a number"),
        ("{" * 100_000, "reward must be a number"),
        ("tensor([" + "]," * 500_000, "reward must be a number"),
        ("1e400", "reward must be finite"),
    ],
)
def test_texts_that_are_no_number(reward, message, tmp_path):
    with pytest.raises(LogError, match=message):
        read_log(lines(tmp_path / "log.jsonl", [{"prompt": "p", "reward": reward}]))


def torch_file(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rollout_3/data.pkl", pickle.dumps({"samples": []}))


def excel_file(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")


def packed_otherwise(path):
    """A member of an unknown compression, as of a newer inspect."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples/1_epoch_1.json", "{}")
    data = bytearray(path.read_bytes())
    data[8], data[data.index(b"PK\1\2") + 10] = 93, 93
    path.write_bytes(data)


FOREIGN = {
    "rollout.pt": (torch_file, "is a file of PyTorch and a pickle, which may run code when it is loaded: write a line"),
    "log.pkl": (lambda path: path.write_bytes(pickle.dumps([1])), "is a pickle, which may run code"),
    "log.npy": (lambda path: np.save(path, np.zeros(3)), "is an array of numpy"),
    "log.npz": (lambda path: np.savez(path, np.zeros(3)), "holds arrays of numpy"),
    "log.xlsx": (excel_file, "is a table of Excel: save it as CSV"),
    "log.eval": (packed_otherwise, "inspect log convert --to json"),
    "log.arrow": (lambda path: path.write_bytes(b"\xff\xff\xff\xff\0\1"), r"is an Arrow file: .*to_parquet\(FILE\)"),
    "log.db": (lambda path: path.write_bytes(b"SQLite format 3\0"), "is a database of SQLite"),
    "log.lz4": (lambda path: path.write_bytes(b"\x04\x22\x4d\x18\0"), r"is compressed: lz4cat FILE \| v05 replay -"),
    "log.jsonl": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_another_kind_are_called_by_it(name, tmp_path):
    make, message = FOREIGN[name]
    make(tmp_path / name)
    with pytest.raises(LogError, match=message):
        read_log(tmp_path / name)


def test_a_folder_without_logs_names_what_it_has(tmp_path):
    torch_file(tmp_path / "rollout_3.pt")
    with pytest.raises(LogError, match="has no log file .*; rollout_3.pt may be one: give its own path"):
        read_log(tmp_path)


def test_of_files_that_are_no_log_the_largest_is_told(tmp_path):
    document(tmp_path / "dataset_info.json", {"features": {}})
    (tmp_path / "data.arrow").write_bytes(b"\xff\xff\xff\xff" + bytes(1000))
    with pytest.raises(LogError, match="data.arrow: is an Arrow file"):
        read_log(tmp_path)


def test_data_sets_are_no_logs(tmp_path):
    row = {"prompt": "p", "reward_model": {"style": "rule", "ground_truth": "72"}, "data_source": "d"}
    with pytest.raises(LogError, match="no known log format"):
        read_log(table(tmp_path / "train.parquet", [row] * 9))
