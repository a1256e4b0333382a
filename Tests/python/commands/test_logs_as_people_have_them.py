"""One run as every trainer and harness would have logged it: the same prompts, visits and rewards, or an error that
asks."""

import bz2
import csv
import gzip
import json
import lzma
import os
import subprocess
import sys

import numpy as np
import pytest
from v05.commands.logs import LogError, fields_of, read_log
from v05.commands.logs.fields import reward_weights
from v05.commands.replay.visits import gather_visits
from v05.errors import InvalidArgument

PROMPTS, GROUP, STEPS = 12, 8, 6
RANDOM = np.random.default_rng(1)
# (step, prompt, rollout, reward) of a run in which every prompt is visited at every step.
RUN = [
    (step, prompt, rollout, float(RANDOM.random() < (prompt + 1) / 13))
    for step in range(STEPS)
    for prompt in range(PROMPTS)
    for rollout in range(GROUP)
]
SUMS = {
    (step, prompt): sum(reward for s, p, _, reward in RUN if (s, p) == (step, prompt))
    for step in range(STEPS)
    for prompt in range(PROMPTS)
}


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def document(path, content, indent=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=indent))
    return path


def table(path, rows):
    pyarrow = pytest.importorskip("pyarrow", reason="reading parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="reading parquet needs pyarrow")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def shuffled(rows, seed=2):
    return [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))]


def plain(run=RUN, **more):
    return [
        {"prompt": f"question {p}", "completion": f"answer {s} {p} {k}", "reward": r, "step": s} | more
        for s, p, k, r in run
    ]


def of_step(step):
    return [row for row in RUN if row[0] == step]


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def advantages(run, reward, scale=True):
    """The advantages of GRPO for rewards that are a function of a row of the run, in the order of the run."""
    groups = {}
    for row in run:
        groups.setdefault(row[:2], []).append(reward(row))

    def one(row):
        rewards = np.array(groups[row[:2]])
        return float(np.float32((reward(row) - rewards.mean()) / ((rewards.std(ddof=1) + 1e-4) if scale else 1)))

    return [one(row) for row in run]


def length(row):
    """What a log may hold beside the reward: a number that has nothing to do with it."""
    return 2.0 + (row[0] * 7 + row[1] * 3 + row[2] * 5) % 11


def trl(run, correct=1.0, form=0.0, scale=True):
    """Rows of TRL's completions: two reward functions with these weights, and a number that one of them logged."""
    found = advantages(run, lambda row: correct * row[3] + form * (row[2] % 3 == 0), scale)
    return [
        {
            "step": row[0],
            "prompt": f"question {row[1]}",
            "completion": f"answer {row[:3]}",
            "correct": row[3],
            "form": float(row[2] % 3 == 0),
            "seconds": length(row),
            "advantage": advantage,
        }
        for row, advantage in zip(run, found)
    ]


def ms_swift(folder):
    return lines(
        folder / "completions.jsonl",
        (
            columns(
                [
                    {
                        "step": str(s),
                        "prompt": f"question {p}",
                        "completion": f"answer {k}",
                        "accuracy": r,
                        "advantages": 0.0,
                    }
                    for s, p, k, r in of_step(step)
                ]
            )
            for step in range(STEPS)
        ),
    )


def areal(folder):
    for step in range(STEPS):
        for prompt in range(PROMPTS):
            lines(
                folder / "rollout" / str(step) / f"{PROMPTS * step + prompt}.jsonl",
                [
                    {
                        "task_id": PROMPTS * step + prompt,
                        "sample_idx": k,
                        "seqlen": 9,
                        "prompt_len": 4,
                        "head_version": max(step - k % 2, 0),
                        "tail_version": max(step - (k > 5), 0),
                        "reward": r,
                        "prompt": f"question {p}",
                        "completion": f"answer {k}",
                    }
                    for s, p, k, r in of_step(step)
                    if p == prompt
                ],
            )
    return folder / "rollout"


def areal_in_one_file(folder):
    files = sorted(areal(folder).rglob("*.jsonl"))
    (folder / "all.jsonl").write_text("".join(file.read_text() for file in files))
    return folder / "all.jsonl"


def prime_rl(folder):
    for step in range(STEPS):
        below = folder / "rollouts" / f"step_{step}"
        lines(
            below / "train_rollouts.jsonl",
            [
                {
                    "example_id": p,
                    "prompt": [{"role": "user", "content": f"question {p}"}],
                    "completion": [],
                    "reward": r,
                }
                for s, p, k, r in of_step(step)
            ],
        )
        lines(below / "eval_rollouts.jsonl", plain(of_step(step)))
    return folder / "rollouts"


def verl(folder):
    for step in range(STEPS):
        lines(
            folder / f"{step + 1}.jsonl",
            [
                {
                    "input": f"question {p}",
                    "output": f"answer {k}",
                    "gts": str(p),
                    "score": r,
                    "step": step + 1,
                    "acc": 1 - r,
                    "uid": f"{s}-{p}_{k}_0",
                }
                for s, p, k, r in of_step(step)
            ],
        )
    return folder


def verl_of_images(folder):
    rows = [
        {"input": "What is shown?", "output": "x", "gts": str(p), "score": r, "step": s, "uid": f"s{s}p{p}_{k}_0"}
        for s, p, k, r in RUN
    ]
    return lines(folder / "dump.jsonl", rows)


def verl_of_images_without_uid(folder):
    rows = [{"input": "What is shown?", "output": "x", "gts": str(p), "score": r, "step": s} for s, p, k, r in RUN]
    return lines(folder / "dump.jsonl", rows)


def open_instruct(folder):
    return lines(
        folder / "rollouts.jsonl",
        [
            {
                "step": s,
                "sample_idx": 8 * p + k,
                "prompt_idx": p,
                "prompt_tokens": [11, 7, p],
                "response_tokens": [5],
                "reward": r,
                "advantage": 0.0,
                "finish_reason": "stop",
                "dataset": "gsm8k",
            }
            for s, p, k, r in RUN
        ],
    )


def nemo_rl(folder):
    for step in range(STEPS):
        lines(
            folder / f"train_data_step{step + 1}.jsonl",
            [
                {"content": [f"question {p}", f"answer {k}"], "rewards": r, "input_lengths": 9, "idx": 8 * p + k}
                for s, p, k, r in of_step(step)
            ],
        )
        lines(folder / f"val_data_step{step + 1}.jsonl", [{"content": ["q", "a"], "rewards": 1.0, "idx": 0}])
    return folder


def rllm(folder):
    for step in range(STEPS):
        for s, p, k, r in of_step(step):
            document(
                folder / "episodes" / f"train_step_{step}_epoch_0" / f"episode_{p}_{k}.json",
                {
                    "training_step": step,
                    "epoch": 0,
                    "episode_id": f"{p}:{k}",
                    "task": {"question": f"question {p}"},
                    "is_correct": bool(r),
                    "trajectories": [{"name": "solver", "steps": [{"observation": "x", "action": "y"}]}],
                },
                2,
            )
    return folder / "episodes"


def trl_tables(folder):
    for step in range(STEPS):
        table(folder / f"completions_{step:05d}.parquet", [row | {"step": step} for row in trl(of_step(step))])
    return folder


def trl_table_of_wandb(folder):
    rows = trl(RUN)
    return document(
        folder / "completions_1.table.json", {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    )


def wandb(folder):
    return document(
        folder / "table.json",
        {
            "columns": ["step", "prompt", "completion", "reward"],
            "data": [[s, f"question {p}", f"answer {k}", r] for s, p, k, r in RUN],
        },
    )


def array(folder):
    return document(folder / "scores.json", plain())


def indented_array(folder):
    return document(folder / "scores.json", plain(), indent=2)


def array_per_step(folder):
    for step in range(STEPS):
        document(
            folder / f"step_{step}.json", [{"prompt": f"question {p}", "score": r} for s, p, k, r in of_step(step)]
        )
    return folder


def objects_over_several_lines(folder):
    (folder / "log.json").write_text("\n".join(json.dumps(row, indent=4) for row in plain()))
    return folder / "log.json"


def group_per_line(folder):
    return lines(
        folder / "log.jsonl",
        [
            {
                "step": step,
                "prompt": f"question {prompt}",
                "completions": [f"answer {k}" for k in range(GROUP)],
                "rewards": [r for s, p, k, r in RUN if (s, p) == (step, prompt)],
            }
            for step, prompt in SUMS
        ],
    )


def step_per_line(folder):
    """Prompts, and a list of rewards for each."""
    return lines(
        folder / "log.jsonl",
        [
            {
                "step": step,
                "prompt": [f"question {p}" for p in range(PROMPTS)],
                "rewards": [[r for s, p, k, r in of_step(step) if p == prompt] for prompt in range(PROMPTS)],
            }
            for step in range(STEPS)
        ],
    )


def chats(folder):
    """Chats of as many messages as there are rollouts in the group."""
    return lines(
        folder / "log.jsonl",
        [
            {
                "step": step,
                "prompt": [{"role": "user", "content": f"question {prompt}"}] * GROUP,
                "rewards": [r for s, p, k, r in RUN if (s, p) == (step, prompt)],
            }
            for step, prompt in SUMS
        ],
    )


def reward_inside(folder):
    return lines(
        folder / "log.jsonl",
        [
            {"question": f"question {p}", "info": {"reward": r, "seconds": 3.5}, "training_step": s}
            for s, p, k, r in RUN
        ],
    )


def true_and_false(folder):
    with open(folder / "log.csv", "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(
            [["problem", "correct", "iteration"], *([f"question {p}", bool(r), s] for s, p, k, r in RUN)]
        )
    return folder / "log.csv"


def long_answers(folder):
    with open(folder / "log.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["prompt", "completion", "reward", "step"],
                *(
                    [f"question {p}", "x\n" * (90_000 if place == 5 else 2), r, s]
                    for place, (s, p, k, r) in enumerate(RUN)
                ),
            ]
        )
    return folder / "log.csv"


def out_of_order(folder):
    return lines(
        folder / "log.jsonl",
        [{"prompt": f"question {p}", "reward": r, "global_step": s} for s, p, k, r in shuffled(RUN)],
    )


def groups_out_of_order(folder):
    return lines(
        folder / "log.jsonl",
        [{"prompt": f"question {p}", "reward": r, "group_id": f"{s}.{p}", "update": s} for s, p, k, r in shuffled(RUN)],
    )


def steps_of_each_epoch(folder):
    return lines(
        folder / "log.jsonl",
        [{"prompt": f"question {p}", "reward": r, "epoch": s // 2, "step": s % 2} for s, p, k, r in RUN],
    )


def run_begun_anew(folder):
    """The first three steps, and the same numbers again."""
    return lines(folder / "log.jsonl", [{"prompt": f"question {p}", "reward": r, "step": s % 3} for s, p, k, r in RUN])


def only_epochs(folder):
    return lines(folder / "log.jsonl", [{"prompt": f"question {p}", "reward": r, "epoch": s / 2} for s, p, k, r in RUN])


def logged_twice(folder):
    path = lines(folder / "log.jsonl", plain())
    path.write_text("".join(line * 2 for line in path.read_text().splitlines(True)))
    return path


def file_twice(folder):
    path = lines(folder / "log.jsonl", plain())
    path.write_text(path.read_text() * 2)
    return path


def some_lines_twice(folder):
    rows = plain()
    return lines(folder / "log.jsonl", rows + rows[-100:])


def files_beside_the_log(folder):
    lines(folder / "rollouts.jsonl", plain())
    document(folder / "config.json", {"model": "m", "lr": 1e-6, "reward": {"weight": 1}}, indent=2)
    lines(folder / "metrics.jsonl", [{"step": step, "loss": 0.5, "reward": 0.3} for step in range(9)])
    (folder / "broken.json").write_text("{'python': None}")
    (folder / "notes.csv").write_text("author,text\nme,x\n")
    (folder / "empty.jsonl").write_text("")
    (folder / ".hidden.jsonl").write_text("no log")
    return folder


def marked_steps(folder):
    """Numbers in the names of files, beside those that are no step."""
    for step in range(STEPS):
        lines(
            folder / f"rank0_iter-{step}_of_7.jsonl",
            [{"problem_id": f"question {p}", "passed": bool(r)} for s, p, k, r in of_step(step)],
        )
    return folder


def names_as_people_write_them(folder):
    rows = shuffled(plain())
    path = folder / "log.csv"
    path.write_text(
        "Prompt, Reward, Global step\n"
        + "".join(f"{row['prompt']}, {'Yes' if row['reward'] else 'No'}, {row['step']}\n" for row in rows)
    )
    return path


def steps_as_text(folder):
    words = ("step-{}", "global_step_{}", "{}/100", "{} of 100", "{}.0", "{}")
    return lines(
        folder / "log.jsonl", [row | {"step": words[row["step"]].format(row["step"] + 9)} for row in shuffled(plain())]
    )


def semicolons(folder):
    """As Excel writes it where numbers have a comma, with missing values as several programs write them."""
    rows = [f"question {p};{r},0;{s}" for s, p, k, r in RUN]
    rows += [f"question 1;{word};2" for word in ("", "NA", "None", "null", "nan")]
    (folder / "log.csv").write_text("sep=;\nprompt;reward;step\n" + "\n".join(rows).replace(".0,0", ",0") + "\n")
    return folder / "log.csv"


def ids_that_became_floats(folder):
    """As pandas has it where others of a column are missing."""
    return lines(
        folder / "log.jsonl",
        [
            {"task_id": float(p) if k % 2 else p, "group": float(s) if k % 3 else s, "step": s, "reward": r}
            for s, p, k, r in RUN
        ],
    )


def bars(folder):
    rows = "".join(f"question {p}|{r}|{s}\n" for s, p, k, r in RUN)
    (folder / "log.csv").write_text("prompt|reward|step\n" + rows)
    return folder / "log.csv"


def total_beside_parts(folder):
    return lines(
        folder / "log.jsonl",
        [row | {"reward": {"accuracy": 1 - row["reward"], "format": 0.5, "total": row["reward"]}} for row in plain()],
    )


def mean_beside_rewards(folder):
    return lines(
        folder / "log.jsonl",
        [
            {
                "step": step,
                "prompt": f"question {prompt}",
                "completions": ["x"] * GROUP,
                "reward": SUMS[step, prompt] / GROUP,
                "rewards": [r for s, p, k, r in RUN if (s, p) == (step, prompt)],
            }
            for step, prompt in SUMS
        ],
    )


def objects_in_parquet(folder):
    return table(folder / "log.parquet", [row | {"reward": {"score": row["reward"], "pred": "x"}} for row in plain()])


def whole_chats(folder):
    """The prompt is what stands before the first answer."""

    def chat(s, p, k):
        turns = ("system", "be brief"), ("user", f"question {p}"), ("assistant", f"{s}{k}"), ("tool", "x")
        return [{"role": role, "content": text} for role, text in turns]

    return lines(folder / "log.jsonl", [{"messages": chat(s, p, k), "reward": r, "step": s} for s, p, k, r in RUN])


def chats_of_people(folder):
    def chat(s, p, k):
        return [{"from": "human", "value": f"question {p}"}, {"from": "gpt", "value": f"{s}{k}"}]

    rows = [{"trajectories": [{"conversations": chat(s, p, k), "reward": r}], "step": s} for s, p, k, r in RUN]
    return lines(folder / "log.jsonl", rows)


def images(folder):
    """Two questions about several images."""
    return lines(
        folder / "log.jsonl",
        [
            {"question": "How many?" if p % 2 else "What?", "images": [f"{p}.png"], "reward": r, "step": s}
            for s, p, k, r in RUN
        ],
    )


def images_in_parquet_without_steps(folder):
    return table(
        folder / "log.parquet",
        [{"prompt": "What?", "image": {"bytes": b"%d" % p, "path": None}, "reward": r} for s, p, k, r in RUN],
    )


def images_that_are_written_anew(folder):
    return lines(folder / "log.jsonl", [row | {"image": f"/tmp/{place}.png"} for place, row in enumerate(plain())])


def evaluation_by_a_field(folder):
    """Rows that say themselves of what they are, by a text and by a flag."""
    rows = [row | {"split": "train"} for row in plain()]
    rows += [row | {"split": "validation", "completion": "greedy"} for row in plain()]
    lines(folder / "a.jsonl", shuffled(rows))
    return folder / "a.jsonl"


def evaluation_by_a_flag(folder):
    rows = "".join(f"question {p},{r},{s},False\n" for s, p, k, r in RUN)
    rows += "".join(f"held out {p},1,{s},True\n" for s, p, k, r in RUN)
    (folder / "log.csv").write_text("prompt,reward,step,is_eval\n" + rows)
    return folder / "log.csv"


def row_a_turn(folder):
    """Three turns of each rollout, with the reward at all or at the last."""
    return lines(
        folder / "log.jsonl",
        [
            {"prompt": f"question {p}", "step": s, "trajectory_id": f"{s}.{p}.{k}", "turn": turn}
            | {"reward": r if p % 2 or turn == 2 else None}
            for s, p, k, r in RUN
            for turn in range(3)
        ],
    )


def row_a_turn_by_any_name(folder):
    """Which rollout it is, as others call it."""
    for name in ("sample_idx", "rollout_idx", "completion_index", "attempt"):
        written = lines(
            folder / name / "log.jsonl",
            [
                {"prompt": f"question {p}", "step": s, name: k, "turn": turn, "reward": r if turn == 2 else None}
                for s, p, k, r in RUN
                for turn in range(3)
            ],
        )
    return written


def policies_of_a_group(folder):
    """An asynchronous trainer's, whose groups are begun by one policy and ended by the next."""
    return lines(
        folder / "log.jsonl",
        [
            {"prompt": f"question {p}", "group_id": f"{s} {p}", "policy_version": s + (k > 4), "reward": r}
            | {"completion": f"answer {s} {p} {k}"}
            for s, p, k, r in RUN
        ],
    )


def policies_in_files_of_many_steps(folder):
    """The number of a file is no step where the rows have theirs; the groups are numbered anew at every step."""
    for half in range(2):
        rows = [
            {"prompt": f"question {p}", "group_id": p, "policy_version": s, "reward": r, "completion": f"{s} {k}"}
            for s, p, k, r in RUN
            if s // 3 == half
        ]
        lines(folder / f"rollouts_{half}.jsonl", rows)
    return folder


def policies_sorted_by_prompt(folder):
    """The group is the prompt, and its visits stand together."""
    return lines(
        folder / "log.jsonl",
        [
            {"prompt": f"question {p}", "group_id": p, "policy_version": s, "reward": r, "completion": f"{s} {k}"}
            for s, p, k, r in sorted(RUN, key=lambda row: row[1])
        ],
    )


def messages_of_a_group(folder):
    """As a client of OpenAI's interface returns n answers."""
    return lines(
        folder / "log.jsonl",
        [
            {
                "step": s,
                "prompt": f"question {p}",
                "completions": [{"role": "assistant", "content": f"{s} {p} {k}"} for k in range(GROUP)],
                "rewards": [r for _, prompt, _, r in of_step(s) if prompt == p],
            }
            for s in range(STEPS)
            for p in range(PROMPTS)
        ],
    )


def numbers_as_answers(folder):
    return lines(
        folder / "log.jsonl",
        [
            {
                "step": s,
                "prompt": f"question {p}",
                "pred": [17 * k for k in range(GROUP)],
                "correct": [r for _, prompt, _, r in of_step(s) if prompt == p],
            }
            for s in range(STEPS)
            for p in range(PROMPTS)
        ],
    )


def turns_taken(folder):
    """How many turns a rollout took, and which row of its dataset it is of."""
    rows = [row | {"turn": place % 3, "sample_index": 7} for place, row in enumerate(plain())]
    return lines(folder / "log.jsonl", rows)


def models_in_names(folder):
    """A dot in the name of the model before the step."""
    for step in range(STEPS):
        rows = [{"prompt": f"question {p}", "reward": r} for _, p, _, r in shuffled(of_step(step))]
        lines(folder / f"Qwen2.5-7B_step_{step}.jsonl", rows)
    return folder


def another_step_that_is_empty(folder):
    return lines(folder / "log.jsonl", [{"global_step": None} | row for row in plain()])


def verdicts(folder):
    """A label that says how the rollout did is no answer that tells prompts apart."""
    rows = [row | {"label": "correct" if row["reward"] else "wrong"} for row in plain()]
    return lines(folder / "log.jsonl", rows)


def kinds_of_prompts(folder):
    """Without steps, and with groups that are no groups of rollouts."""
    rows = [{"group": f"kind {p % 3}", "prompt": f"question {p}", "reward": r} for _, p, _, r in RUN]
    return lines(folder / "log.jsonl", rows)


def group_a_rollout(folder):
    return lines(folder / "log.jsonl", [row | {"group_id": f"u{place}"} for place, row in enumerate(plain())])


def growing_tables(folder):
    """Tables that hold all that those before held, as W&B keeps them."""
    for step in range(STEPS):
        rows = [[s, f"question {p}", f"answer {s} {p} {k}", r] for s, p, k, r in RUN if s <= step]
        content = {"columns": ["step", "prompt", "completion", "reward"], "data": rows}
        document(folder / f"completions_{step}_ab{step}c9.table.json", content)
    return folder


def formats_of_the_same(folder):
    """The same log as lines, as CSV and in a file of another name."""
    lines(folder / "a.jsonl", plain())
    lines(folder / "z.jsonl", shuffled([{"question": row["prompt"]} | row for row in plain()]))
    with open(folder / "b.csv", "w", newline="") as file:
        csv.writer(file).writerows([["prompt", "reward", "step"], *([f"question {p}", r, s] for s, p, k, r in RUN)])
    return folder


def rows_by_number(folder):
    """As pandas writes a table by its index."""
    return document(folder / "log.json", {str(place): row for place, row in enumerate(plain())})


def suffixes_of_every_kind(folder):
    """Compressed in any way, in capitals, put aside for a new file."""
    packed = {".JSONL": bytes, ".jsonl.gz": gzip.compress, ".jsonl.BZ2": bz2.compress, ".ndjson.xz": lzma.compress}
    for step, (suffix, pack) in enumerate((packed | {".jsonl.1": bytes, ".jsonl": bytes}).items()):
        text = "".join(json.dumps(row) + "\n" for row in plain(of_step(step)))
        (folder / f"rollouts_{step}{suffix}").write_bytes(pack(text.encode()))
    return folder


def rotated(folder):
    """Without a step, so that the order of the files is that of the visits."""
    for step in range(STEPS):
        turn = f".{STEPS - 1 - step}" if step < STEPS - 1 else ""
        rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in of_step(step)]
        lines(folder / f"rollouts.jsonl{turn}", rows)
    return folder


def shards(folder):
    """Parts of one log, whose numbers are no step."""
    rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in RUN]
    for part in range(4):
        lines(folder / f"train-0000{part}-of-00004.jsonl", rows[144 * part : 144 * (part + 1)])
    return folder


def files_of_days(folder):
    """A date is no step."""
    for day in range(2):
        rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in RUN if s // 3 == day]
        lines(folder / f"rollouts_2026010{day + 1}.jsonl", rows)
    return folder


def files_of_processes(folder):
    rows = [{"prompt": f"question {p}", "reward": r, "group_id": f"{s}-{p}"} for s, p, k, r in RUN]
    for part in range(4):
        lines(folder / f"actor_{part}.pid{4711 + part}.jsonl", rows[part::4])
    return folder


def linked_folders(folder):
    """Steps that are links to another place, a loop, a link to a part of the log, a dead link and a pipe."""
    log = folder / "log"
    log.mkdir()
    for step in range(STEPS):
        rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in of_step(step)]
        lines(folder / "storage" / f"{step}" / "rollouts.jsonl", rows)
        (log / f"step_{step}").symlink_to(folder / "storage" / f"{step}")
    (log / "loop").symlink_to(log)
    (log / "above").symlink_to(folder)
    (log / "again").symlink_to(folder / "storage" / "3")
    (log / "dead.jsonl").symlink_to(folder / "nothing")
    os.mkfifo(log / "pipe.jsonl")
    return log


def zipped_documents(folder):
    for step in range(STEPS):
        path = folder / "gen" / f"global_step_{step}" / "samples.json.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(json.dumps({"results": plain(of_step(step))}, indent=1).encode()))
    return folder / "gen"


def successes(folder):
    return lines(
        folder / "log.jsonl",
        [
            {
                "prompt": f"question {prompt}",
                "rollouts": GROUP,
                "successes": [int(SUMS[step, prompt]) for step in range(STEPS)],
            }
            for prompt in range(PROMPTS)
        ],
    )


EVERY = [
    ms_swift,
    areal,
    areal_in_one_file,
    prime_rl,
    verl,
    verl_of_images,
    verl_of_images_without_uid,
    open_instruct,
    nemo_rl,
    rllm,
    trl_tables,
    trl_table_of_wandb,
    wandb,
    array,
    indented_array,
    array_per_step,
    objects_over_several_lines,
    group_per_line,
    step_per_line,
    chats,
    reward_inside,
    true_and_false,
    long_answers,
    out_of_order,
    groups_out_of_order,
    steps_of_each_epoch,
    run_begun_anew,
    only_epochs,
    logged_twice,
    file_twice,
    some_lines_twice,
    files_beside_the_log,
    marked_steps,
    evaluation_by_a_field,
    evaluation_by_a_flag,
    row_a_turn,
    row_a_turn_by_any_name,
    policies_of_a_group,
    policies_in_files_of_many_steps,
    policies_sorted_by_prompt,
    messages_of_a_group,
    numbers_as_answers,
    turns_taken,
    models_in_names,
    another_step_that_is_empty,
    verdicts,
    kinds_of_prompts,
    group_a_rollout,
    growing_tables,
    formats_of_the_same,
    rows_by_number,
    names_as_people_write_them,
    steps_as_text,
    semicolons,
    ids_that_became_floats,
    bars,
    total_beside_parts,
    mean_beside_rewards,
    objects_in_parquet,
    whole_chats,
    chats_of_people,
    images,
    images_in_parquet_without_steps,
    images_that_are_written_anew,
    suffixes_of_every_kind,
    rotated,
    shards,
    files_of_days,
    files_of_processes,
    linked_folders,
    zipped_documents,
    successes,
]


def sums(visits):
    return np.add.reduceat(visits.reward, visits.start)


@pytest.mark.parametrize("write", EVERY, ids=lambda write: write.__name__)
def test_a_run_is_read_whole(write, tmp_path):
    log = read_log(write(tmp_path), texts=True)
    visits = gather_visits(log)
    assert len(np.unique(visits.prompt)) == PROMPTS
    np.testing.assert_array_equal(visits.count, GROUP)
    assert len(visits.count) == PROMPTS * STEPS and len(visits.batches) == STEPS + 1
    for step in range(STEPS):
        batch = np.arange(visits.batches[step], visits.batches[step + 1])
        assert sorted(sums(visits)[batch].tolist()) == sorted(SUMS[step, prompt] for prompt in range(PROMPTS))
    of_prompts = {}
    for prompt, total in zip(visits.prompt.tolist(), sums(visits).tolist()):
        of_prompts.setdefault(prompt, []).append(total)
    assert sorted(of_prompts.values()) == sorted(
        [SUMS[step, prompt] for step in range(STEPS)] for prompt in range(PROMPTS)
    )
    assert len(log.texts) >= PROMPTS


def harness(samples):
    """12 questions, one of each the 8 samples of the first step."""
    return [samples(p, [r for s, q, k, r in of_step(0) if q == p]) for p in range(PROMPTS)]


def qwen_math(folder):
    return lines(
        folder / "math.jsonl",
        harness(
            lambda p, scores: {
                "idx": p,
                "question": f"question {p}",
                "gt": "1",
                "code": ["x"] * 8,
                "pred": ["1"] * 8,
                "score": [bool(score) for score in scores],
            }
        ),
    )


def reasoning_gym(folder):
    return document(
        folder / "results.json",
        {
            "metadata": {"eval_repeats": 8},
            "categories": [
                {
                    "name": "algebra",
                    "datasets": [
                        {
                            "name": "d",
                            "mean_best_score": 0.5,
                            "results": harness(
                                lambda p, scores: {
                                    "question": f"question {p}",
                                    "expected_answer": "1",
                                    "best_score": max(scores),
                                    "mean_score": np.mean(scores),
                                    "completions": [
                                        {"model_answer": "1", "full_model_response": "x", "score": score}
                                        for score in scores
                                    ],
                                }
                            ),
                        }
                    ],
                }
            ],
        },
        indent=2,
    )


def human_eval(folder):
    return lines(
        folder / "samples.jsonl_results.jsonl",
        sum(
            harness(
                lambda p, scores: [
                    {"task_id": f"HumanEval/{p}", "completion": "x", "result": "passed", "passed": bool(score)}
                    for score in scores
                ]
            ),
            [],
        ),
    )


def live_code_bench(folder):
    return document(
        folder / "eval_all.json",
        harness(
            lambda p, scores: {
                "question_title": "t",
                "question_content": f"question {p}",
                "code_list": ["x"] * 8,
                "graded_list": [bool(score) for score in scores],
                "pass@1": float(np.mean(scores)),
            }
        ),
        indent=4,
    )


def inspect(folder):
    samples = sum(
        harness(
            lambda p, scores: [
                {
                    "id": p,
                    "epoch": k + 1,
                    "input": f"question {p}",
                    "target": "1",
                    "messages": [{"role": "user", "content": "x"}],
                    "scores": {"match": {"value": "C" if score else "I", "answer": "12", "explanation": "x"}},
                }
                for k, score in enumerate(scores)
            ]
        ),
        [],
    )
    return document(
        folder / "log.json",
        {
            "version": 2,
            "eval": {"task": "t"},
            "plan": {"steps": [{"solver": "s"}]},
            "results": {"scores": [{"name": "match", "metrics": {"accuracy": {"value": 0.5}}}]},
            "samples": samples,
        },
        indent=2,
    )


def verifiers(folder):
    return lines(
        folder / "results.jsonl",
        sum(
            harness(
                lambda p, scores: [
                    {
                        "example_id": p,
                        "prompt": [{"role": "user", "content": f"question {p}"}],
                        "completion": [{"role": "assistant", "content": f"{k}"}],
                        "task": "t",
                        "reward": score,
                        "generation_ms": 1.5,
                        "correct_answer": score,
                    }
                    for k, score in enumerate(scores)
                ]
            ),
            [],
        ),
    )


def skyrl(folder):
    return lines(
        folder / "dump.jsonl",
        sum(
            harness(
                lambda p, scores: [
                    {
                        "input_prompt": f"question {p}",
                        "output_response": "x y z",
                        "score": [0.0, 0.0, score],
                        "stop_reason": "stop",
                    }
                    for score in scores
                ]
            ),
            [],
        ),
    )


@pytest.mark.parametrize(
    "write",
    [qwen_math, reasoning_gym, human_eval, live_code_bench, inspect, verifiers, skyrl],
    ids=lambda write: write.__name__,
)
def test_evaluation_harnesses(write, tmp_path):
    visits = gather_visits(read_log(write(tmp_path)))
    np.testing.assert_array_equal(visits.count, GROUP)
    assert sums(visits).tolist() == [SUMS[0, prompt] for prompt in range(PROMPTS)]


@pytest.mark.parametrize(
    "options",
    [
        dict(prompt="problem", reward=["gain"], step="when"),
        dict(prompt="problem", reward={"gain": 2.0, "malus": -1.0}, step="when"),
        dict(prompt="meta.problem", reward=["meta.gains.0"], step="meta.when", group="meta.both"),
    ],
)
def test_fields_by_name(options, tmp_path):
    rows = [
        {
            "problem": f"q {p}",
            "gain": r,
            "malus": r,
            "when": s,
            "prompt": "x",
            "step": 0,
            "reward": 3.0,
            "meta": {"problem": f"q {p}", "gains": [r, 5], "when": s, "both": [s, p]},
        }
        for s, p, k, r in shuffled(RUN)
    ]
    visits = gather_visits(read_log(lines(tmp_path / "log.jsonl", rows), fields=fields_of(**options)))
    np.testing.assert_array_equal(visits.count, GROUP)
    assert sorted(sums(visits).tolist()) == sorted(SUMS.values())


def test_weights_of_rewards_as_text():
    assert reward_weights(["a", "b=0.5", "c=d=-1"]) == {"a": 1.0, "b": 0.5, "c=d": -1.0}
    assert reward_weights({"a": 2, "b=c": 0}) == {"a": 2.0, "b=c": 0.0}
    for wrong in (["a=b"], ["a=nan"], ["a=1e31"], ["a", "a=2"], ["a=0", "b=0"], {"a": 0}):
        with pytest.raises(InvalidArgument, match="reward must"):
            reward_weights(wrong)


@pytest.mark.parametrize(
    "correct, form, scale, words",
    [
        (1.0, 0.0, True, "correct"),
        (1.0, 0.0, False, "correct"),
        (1.0, 1.0, True, "correct + form"),
        (1.0, 0.5, True, "correct + 0.5 form"),
        (1.0, 0.5, False, "correct + 0.5 form"),
        (0.1, 1.0, True, "0.1 correct + form"),
    ],
)
def test_advantages_tell_the_reward(correct, form, scale, words, tmp_path):
    for step in range(STEPS):
        table(tmp_path / f"completions_{step:05d}.parquet", trl(of_step(step), correct, form, scale))
    log = read_log(tmp_path)
    assert any(f"The reward is {words}, as its advantage tells." in note for note in log.notes)
    path = tmp_path / "log.csv"
    with open(path, "w", newline="") as file:
        rows = trl(RUN, correct, form, scale)
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert any(f"The reward is {words}, as its advantage tells." in note for note in read_log(path).notes)
    expected = [correct * row[3] + form * (row[2] % 3 == 0) for row in RUN]
    np.testing.assert_allclose(sorted(log.reward), sorted(expected), atol=1e-12)


def test_trainer_state_tells_the_rewards(tmp_path):
    rows = [row | {"advantage": 0.0} for row in trl(RUN)]
    table(tmp_path / "completions" / "completions_00001.parquet", rows)
    entries = [
        {"rewards/correct/mean": a, "rewards/form/mean": b, "reward": a + 0.25 * b, "loss": 0.1}
        for a, b in np.random.default_rng(0).random((9, 2)).tolist()
    ]
    document(tmp_path / "checkpoint-9" / "trainer_state.json", {"log_history": entries})
    document(tmp_path / "checkpoint-10" / "trainer_state.json", {"log_history": entries})
    log = read_log(tmp_path / "completions")
    np.testing.assert_allclose(sorted(log.reward), sorted(row["correct"] + 0.25 * row["form"] for row in rows))
    assert any("correct + 0.25 form, as trainer_state.json tells" in note for note in log.notes)


def test_a_reward_that_cannot_be_told_is_an_error_that_asks(tmp_path):
    for name, advantage in (("none", 0.0), ("wrong", 0.3)):
        rows = [row | {"advantage": advantage * place % 7} for place, row in enumerate(trl(RUN))]
        table(tmp_path / name / "completions_00001.parquet", rows)
        with pytest.raises(
            LogError, match="several fields may be the reward: correct, form, seconds; name it by --reward correct"
        ):
            read_log(tmp_path / name)
        assert set(read_log(tmp_path / name, fields=fields_of("correct")).reward) == {0.0, 1.0}
    rows = [{"question": f"q {p}", "score": r, "accuracy": 1 - r} for s, p, k, r in RUN]
    with pytest.raises(LogError, match="several fields may be the reward: score, accuracy"):
        read_log(lines(tmp_path / "log.jsonl", rows))


@pytest.mark.parametrize(
    "completion",
    [
        "the answer",
        [5, 7, 9],
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        [{"role": "assistant", "content": "a"}],
    ],
)
@pytest.mark.parametrize("name", ["completion", "response_ids"])
def test_several_rewards_of_one_completion_are_no_group(completion, name, tmp_path):
    """Of each token, or of each reward function."""
    log = lines(tmp_path / "log.jsonl", [{"step": 0, "prompt": "q", name: completion, "rewards": [0, 0, 1]}] * 4)
    with pytest.raises(LogError, match=f"rewards is a list of 3 beside one {name}; write one number per rollout"):
        read_log(log)


def test_rows_without_the_reward_of_the_others_are_not_read_by_another_field(tmp_path):
    rows = [{"step": s, "prompt": f"q {p}", "reward": 2 * r + 0.5, "accuracy": r} for s, p, _, r in RUN]
    del rows[17]["reward"]
    with pytest.raises(LogError, match="line 18: .*reward.*missing"):
        read_log(lines(tmp_path / "log.jsonl", rows))


def test_a_sum_of_log_probabilities_does_not_hide_the_length(tmp_path):
    rows = [row | {"logprobs": -21.3, "completion_length": 7} for row in plain()]
    log = read_log(lines(tmp_path / "log.jsonl", rows))
    assert log.told_by == "completion_length" and set(log.squared_norm) == {7.0}


@pytest.mark.parametrize("fields", [None, fields_of((), group="group_id")])
def test_batches_of_prompts_sample_after_sample_keep_their_groups(fields, tmp_path):
    """Without steps: a group that holds several prompts, each in one group alone, tells the visit."""
    rows = [
        {"group_id": s, "prompt": f"question {s} {p}", "reward": r}
        for s, p, k, r in sorted(RUN, key=lambda row: (row[0], row[2]))
    ]
    visits = gather_visits(read_log(lines(tmp_path / "log.jsonl", rows), fields=fields))
    assert len(visits.count) == PROMPTS * STEPS and set(visits.count) == {GROUP}


def test_a_step_that_the_first_row_lacks_is_no_epoch(tmp_path):
    rows = [{"global_step": s, "epoch": s // 3, "prompt": f"q {p}", "reward": r} for s, p, _, r in RUN]
    rows[0]["global_step"] = None
    with pytest.raises(LogError, match="step is missing"):
        read_log(lines(tmp_path / "log.jsonl", rows))


def test_numbers_beside_a_reward_are_none(tmp_path):
    rows = [row | {"seconds": 2.5, "kl": 0.1, "format": 1.0} for row in plain()]
    assert set(read_log(lines(tmp_path / "log.jsonl", rows)).reward) == {0.0, 1.0}


def evaluated(folder):
    """TRL's tables with an evaluation at every second step, as its trainer leaves them."""
    for step in range(STEPS):
        rows = trl(of_step(step))
        if step % 2:
            rows = rows[len(rows) // 2 :] + [
                row | {"prompt": f"held out {p}", "completion": f"{step} {p} {k}"}
                for p in range(4)
                for k, row in enumerate(rows[:GROUP])
            ]
        table(folder / f"completions_{step:05d}.parquet", rows)
    return folder


def test_evaluation_beside_training(tmp_path):
    log = read_log(evaluated(tmp_path))
    assert len(np.unique(log.prompt)) == PROMPTS and any("evaluation (--keep-evaluation" in note for note in log.notes)
    kept = read_log(tmp_path, keep_evaluation=True)
    assert len(np.unique(kept.prompt)) == PROMPTS + 4 and len(kept.reward) == len(log.reward) + 3 * 4 * GROUP


def test_training_in_a_fixed_order_is_no_evaluation(tmp_path):
    for epoch in range(3):
        for part in range(2):
            rows = [row for row in trl(of_step(epoch)) if int(row["prompt"].split()[1]) // 6 == part]
            table(tmp_path / f"completions_{2 * epoch + part:05d}.parquet", rows)
    assert len(np.unique(read_log(tmp_path).prompt)) == PROMPTS


@pytest.mark.parametrize(
    "content",
    [
        "question 3\nquestion 5\n\n",
        json.dumps(["question 3", "question 5"]),
        '{"prompt": "question 3"}\n{"question": "question 5"}\n',
    ],
)
def test_prompts_are_left_out_by_a_file(content, tmp_path):
    path = lines(tmp_path / "log.jsonl", plain())
    (tmp_path / "prompts").write_text(content)
    assert len(np.unique(read_log(path, exclude=tmp_path / "prompts").prompt)) == PROMPTS - 2
    assert len(np.unique(read_log(path, only_prompts=tmp_path / "prompts").prompt)) == 2


def test_short_answers_that_are_equal_all_count(tmp_path):
    rows = [
        {"prompt": f"question {p}", "completion": str((p + k * k) % 3), "reward": r, "step": s} for s, p, k, r in RUN
    ]
    log = read_log(lines(tmp_path / "log.jsonl", rows))
    assert log.repeated == 0 and len(log.reward) == len(RUN)
    rows = [{"prompt": f"question {p}", "reward": r, "step": s, "source": "dataset/name"} for s, p, k, r in RUN]
    assert read_log(lines(tmp_path / "other.jsonl", rows)).repeated == 0


def test_what_stands_there_twice_is_told(tmp_path):
    assert read_log(logged_twice(tmp_path)).repeated == len(RUN)
    assert read_log(some_lines_twice(tmp_path)).repeated == 100


def test_a_log_without_steps_has_none_that_go_backwards(tmp_path):
    for write in (rotated, shards):
        folder = tmp_path / write.__name__
        folder.mkdir()
        assert read_log(write(folder)).notes == ()


def test_steps_that_go_backwards_are_told(tmp_path):
    assert any("Steps go backwards" in note for note in read_log(out_of_order(tmp_path)).notes)
    assert any(
        "Steps begin anew 1 time (first at line 289)" in note for note in read_log(run_begun_anew(tmp_path)).notes
    )


def test_a_step_that_goes_on_in_the_next_file_is_none_back(tmp_path):
    """As in the shards of a data set, which end anywhere."""
    rows = plain()
    for part, first in enumerate(range(0, len(rows), 70)):
        lines(tmp_path / f"train-{part:05d}-of-00009.jsonl", rows[first : first + 70])
    log = read_log(tmp_path)
    assert log.notes == () and sorted(sums(gather_visits(log)).tolist()) == sorted(SUMS.values())


def test_several_runs_in_folders_are_told(tmp_path):
    for run in ("a", "b"):
        rewards = [reward if run == "a" else 1 - reward for _, _, _, reward in RUN]
        lines(tmp_path / run / "log.jsonl", plain(run=[row[:3] + (reward,) for row, reward in zip(RUN, rewards)]))
    assert any("several folders" in note for note in read_log(tmp_path).notes)
    assert not any("several folders" in note for note in read_log(tmp_path / "a").notes)


def test_files_that_were_not_read_are_told(tmp_path):
    notes = read_log(files_beside_the_log(tmp_path)).notes
    assert any("4 files, such as" in note and "no log" in note for note in notes)
    assert any("not read, as evaluation" in note for note in read_log(prime_rl(tmp_path)).notes)
    (tmp_path / "none").mkdir()
    document(tmp_path / "none" / "config.json", {"model": "m"})
    with pytest.raises(LogError, match="no known log format: found model; name the fields by --prompt FIELD"):
        read_log(tmp_path / "none")


def test_one_prompt_for_all_is_told(tmp_path):
    rows = [{"input": "What is shown?", "output": "x", "score": r, "step": s} for s, p, k, r in RUN]
    log = read_log(lines(tmp_path / "log.jsonl", rows))
    assert any("All 96 rollouts of a step have the same prompt" in note for note in log.notes)


def test_groups_without_a_prompt_have_no_history(tmp_path):
    rows = [{"iteration": s, "group_idx": p, "traj_idx": k, "total_reward": r} for s, p, k, r in RUN]
    log = read_log(lines(tmp_path / "log.jsonl", rows))
    visits = gather_visits(log)
    assert (
        len(visits.count) == 72
        and not visits.earlier.any()
        and any("nothing tells which" in note for note in log.notes)
    )


def test_several_runs_in_one_file_are_an_error_that_asks(tmp_path):
    """Also models, and the filters by which a harness scores a completion several times."""
    for field, values in (("run_id", "ab"), ("filter", ("strict", "flexible"))):
        rows = [row | {field: value, "completion": value} for value in values for row in plain()]
        path = lines(tmp_path / "log.jsonl", rows)
        with pytest.raises(LogError, match=f"several: {field} is .*, .*; --where {field}={values[0]} reads one"):
            read_log(path)
        for where in ([f"{field}={values[1]}"], {field: values[1]}):
            visits = gather_visits(read_log(path, fields=fields_of(where=where)))
            assert sorted(sums(visits).tolist()) == sorted(SUMS.values())
    for field, values in (("seed", (0, 1)), ("learning_rate", (1e-6, 1e-5)), ("run", (1, 2)), ("algorithm", "ab")):
        rows = [row | {field: value, "completion": str(value)} for value in values for row in plain()]
        with pytest.raises(LogError, match=f"several: {field} is .*, .*; --where {field}={values[0]} reads one"):
            read_log(lines(tmp_path / "log.jsonl", rows))
    for seed in (lambda n: 7 * n, lambda n: n % 8, lambda n: n % 8 // 4):  # of the sampling: rollouts have their own
        rows = [row | {"seed": seed(n)} for n, row in enumerate(plain())]
        rows.sort(key=lambda row: (row["step"], row["seed"]))
        assert sorted(sums(gather_visits(read_log(lines(tmp_path / "log.jsonl", rows)))).tolist()) == sorted(
            SUMS.values()
        )
    rows = [row | {"learning_rate": 1e-6 / (1 + n // GROUP)} for n, row in enumerate(plain())]  # one that falls
    rows = [{name: value for name, value in row.items() if name != "step"} for row in rows]
    assert len(read_log(lines(tmp_path / "log.jsonl", rows)).reward) == len(RUN)
    rows = [row | {"model": f"checkpoint-{row['step']}", "run": row["completion"][-1]} for row in plain()]
    assert len(read_log(lines(tmp_path / "log.jsonl", rows)).reward) == len(RUN)


def test_rows_are_chosen_by_a_field(tmp_path):
    rows = [[{"type": "metrics", "step": s, "reward": 0.3}, *plain(of_step(s))] for s in range(STEPS)]
    rows = [{"type": "rollout", "of": {"kind": k % 2}} | row for part in rows for k, row in enumerate(part)]
    path = lines(tmp_path / "log.jsonl", rows)
    assert len(read_log(path, fields=fields_of(where=["type=rollout"])).reward) == len(RUN)
    assert len(read_log(path, fields=fields_of(where={"type": "rollout", "of.kind": 1})).reward) == len(RUN) / 2
    with pytest.raises(LogError, match="no rollouts; --where leaves none"):
        read_log(path, fields=fields_of(where=["type=x"]))
    for where in (["typ=rollout"], ["type=rollout", "typ=x"]):
        with pytest.raises(LogError, match="no row has the field 'typ' of --where: found type, "):
            read_log(path, fields=fields_of(where=where))
    with pytest.raises(InvalidArgument, match="where must be FIELD=VALUE, got 'type'"):
        fields_of(where=["type"])


def test_rows_are_chosen_by_a_number_however_it_is_written(tmp_path):
    """A table of floats has 3.0 for the step 3."""
    path = lines(tmp_path / "log.jsonl", [row | {"step": float(row["step"])} for row in plain()])
    for text in ("3", "3.0", " 3 ", "03"):
        assert len(read_log(path, fields=fields_of(where={"step": text})).reward) == PROMPTS * GROUP


def test_evaluation_that_says_so_is_kept_on_request(tmp_path):
    path = evaluation_by_a_field(tmp_path)
    assert len(read_log(path, keep_evaluation=True).reward) == 2 * len(RUN)
    assert any("576 rollouts, which the log itself calls so" in note for note in read_log(path).notes)
    rows = [row | {"split": "test"} for row in plain()]
    assert len(read_log(lines(path, rows)).reward) == len(RUN)


def test_files_of_processes_that_tell_no_visit_are_an_error_that_asks(tmp_path):
    for part in range(4):
        rows = [{"prompt": f"question {p}", "reward": r, "when": s} for s, p, k, r in RUN if k % 4 == part]
        lines(tmp_path / f"rollouts_rank{part}.jsonl", rows)
    with pytest.raises(LogError, match="such as rollouts_rank0.jsonl, and no step or group tells .* by --step FIELD"):
        read_log(tmp_path)
    assert (gather_visits(read_log(tmp_path, fields=fields_of(step="when"))).count == GROUP).all()


def test_turns_with_several_rewards_are_an_error(tmp_path):
    rows = [
        {"prompt": "p", "rollout_id": k, "turn_idx": turn, "reward": float(turn == 1)}
        for k in range(4)
        for turn in range(2)
    ]
    with pytest.raises(LogError, match="line 2: a turn has the reward 1 and another of its rollout 0; --reward"):
        read_log(lines(tmp_path / "log.jsonl", rows))


def test_a_group_that_names_the_prompt_is_told(tmp_path):
    rows = [{"prompt": f"question {p}", "group_id": p, "reward": r} for s, p, k, r in RUN]
    assert any("A prompt has one group" in note for note in read_log(lines(tmp_path / "log.jsonl", rows)).notes)
    rows = [row | {"step": s} for row, (s, p, k, r) in zip(rows, RUN)]
    assert not read_log(lines(tmp_path / "log.jsonl", rows)).notes


@pytest.mark.parametrize("names", [("part_1.jsonl", "part_2.jsonl"), ("run_1/log.jsonl", "run_2/log.jsonl")])
def test_a_run_that_goes_on_in_another_file(names, tmp_path):
    """From a checkpoint, so that two steps are logged twice: what follows counts as later."""
    for name, steps in zip(names, (range(4), range(2, 6))):
        lines(tmp_path / name, [row | {"completion": name} for row in plain() if row["step"] in steps])
    log = read_log(tmp_path)
    visits = gather_visits(log)
    assert (visits.count == GROUP).all() and len(visits.batches) == 8 + 1
    assert any("Steps begin anew 1 time (first at file 2, line 1)" in note for note in log.notes)


def test_a_last_line_that_is_cut_is_left_out(tmp_path):
    """As of a file that is still being written."""
    path = lines(tmp_path / "log.jsonl", plain())
    whole = path.read_bytes()
    for end in ('{"prompt": "quest', '{"prompt": "questión'):
        path.write_bytes(whole + end.encode()[: len(end)])
        log = read_log(path)
        assert len(log.reward) == len(RUN) and any("last line of" in note and "not whole" in note for note in log.notes)
    (tmp_path / "log.csv").write_text("prompt,reward\n" + "q,1\n" * 3 + "q")
    assert len(read_log(tmp_path / "log.csv").reward) == 3


def test_fields_by_name_that_are_missing(tmp_path):
    path = lines(tmp_path / "log.jsonl", plain())
    for option in ("prompt", "group", "step"):
        with pytest.raises(LogError, match=f"no {option} field 'when': found prompt, completion, reward, step"):
            read_log(path, fields=fields_of(**{option: "when"}))
        for empty in ("", " "):  # as of a variable of the shell that is not set
            with pytest.raises(InvalidArgument, match=f"{option} must name a field, got '{empty}'"):
                fields_of(**{option: empty})


def test_prompts_with_images_are_left_out_by_their_text(tmp_path):
    rows = [{"prompt": "How many?", "image": f"{p}.png", "reward": r, "step": s} for s, p, k, r in RUN]
    path = lines(tmp_path / "log.jsonl", rows + [{"prompt": "What?", "image": "1.png", "reward": 1, "step": 0}] * 9)
    (tmp_path / "prompts").write_text("What?\n")
    log = read_log(path, exclude=tmp_path / "prompts")
    assert len(log.reward) == len(RUN) and len(np.unique(log.prompt)) == PROMPTS
    assert "The same text with another image is another prompt." in log.notes


def test_a_huge_count_is_refused_at_once(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"prompt": "a", "rollouts": 1000000000000, "successes": [5]}\n')
    with pytest.raises(LogError, match="line 1: more than 33,554,432 rollouts"):
        read_log(path)
    path.write_text('{"prompt": "a", "rollouts": 1000000, "successes": [5, 7]}\n')
    log = read_log(path)
    assert len(log.reward) == 4 and log.times.tolist() == [5, 999_995, 7, 999_993]


def test_a_line_has_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("v05.commands.logs.streams.MOST", 2**20)
    monkeypatch.setattr("v05.commands.logs.values.MOST", 2**20)
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "' + b"x" * 2**21 + b'", "reward": 1}\n'))
    with pytest.raises(LogError, match="line 1: has more than 1 MiB"):
        read_log(path)
    document(tmp_path / "log.json", plain() * 30, indent=1)
    with pytest.raises(LogError, match="JSON document of more than 1 MiB; write one object per line"):
        read_log(tmp_path / "log.json")


@pytest.mark.parametrize("source, zipped", [("-", False), ("-", True), ("/dev/stdin", False), ("/dev/stdin", True)])
def test_a_log_from_a_pipe(source, zipped, tmp_path):
    data = lines(tmp_path / "log.jsonl", plain()).read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "v05", "replay", source, "--json", "--splits", "1"],
        capture_output=True,
        input=gzip.compress(data) if zipped else data,
        check=True,
    )
    assert json.loads(done.stdout)["visits"] == 72


def test_parquet_from_a_pipe(tmp_path):
    data = table(tmp_path / "log.parquet", plain()).read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "v05", "replay", "-", "--json", "--splits", "1"],
        capture_output=True,
        input=data,
        check=True,
    )
    assert json.loads(done.stdout)["visits"] == 72


def evaluation_rows_of(more):
    """A run and, after every step, rows of held-out prompts that say so by these fields."""
    rows = []
    for step in range(STEPS):
        rows += plain(of_step(step))
        rows += [row | {"prompt": f"held out {row['prompt']}"} | more for row in plain(of_step(step))]
    return rows


@pytest.mark.parametrize(
    "training, evaluation",
    [
        ({}, {"is_eval": True}),
        ({}, {"split": "eval"}),
        ({"is_eval": None}, {"is_eval": True}),
        ({"is_eval": ""}, {"is_eval": "True"}),
        ({"is_eval": 0.0}, {"is_eval": 1.0}),
        ({"is_eval": ""}, {"is_eval": "1.0"}),
        ({"mode": "async"}, {"mode": "async", "is_eval": True}),
    ],
)
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_an_evaluation_that_only_its_own_rows_tell(form, training, evaluation, tmp_path):
    names = dict.fromkeys((*training, *evaluation)) if form != "jsonl" else {}
    rows = [names | training | row for row in evaluation_rows_of(evaluation)]
    if form == "parquet":
        path = table(tmp_path / "log.parquet", rows)
    elif form == "jsonl":
        path = lines(tmp_path / "log.jsonl", rows)
    else:
        path = tmp_path / "log.csv"
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    log = read_log(path)
    assert len(np.unique(log.prompt)) == PROMPTS and sorted(sums(gather_visits(log))) == sorted(SUMS.values())
    assert any("576 rollouts, which the log itself calls so" in note for note in log.notes)
    assert len(read_log(path, keep_evaluation=True).reward) == 2 * len(RUN)


@pytest.mark.parametrize("scores", [[0.0, 0.5, 1.0], [3, 1, 2, 4, 5], [0.5, 1, 0]])
@pytest.mark.parametrize("name", ["evaluation", "eval"])
def test_a_score_that_is_called_evaluation_is_no_flag(name, scores, tmp_path):
    rows = [row | {name: scores[place % len(scores)]} for place, row in enumerate(plain())]
    assert len(read_log(lines(tmp_path / "log.jsonl", rows)).reward) == len(RUN)


def test_an_image_or_a_model_that_the_first_rows_lack(tmp_path):
    for lacking in ({}, {"image": None}):
        rows = [row | {"prompt": "Describe."} for row in plain()]
        rows = [row | (lacking if p == 0 else {"image": f"{p}.png"}) for row, (s, p, k, r) in zip(rows, RUN)]
        assert sums(gather_visits(read_log(lines(tmp_path / "log.jsonl", rows)))).tolist() == list(SUMS.values())
    rows = [row | {"model": model, "completion": model} for model in "AB" for row in plain()]
    for first in (rows[0] | {"model": None}, {name: value for name, value in rows[0].items() if name != "model"}):
        with pytest.raises(LogError, match="several: model is A, B; --where model=A reads one"):
            read_log(lines(tmp_path / "log.jsonl", [first, *rows[1:]]))


def short_answers(seed):
    """Groups of 4 short answers, of which one in ten is right: some happen to be equal, mostly two."""
    generator = np.random.default_rng(seed)
    rows = []
    for step in range(12):
        for prompt in range(16):
            for right in generator.random(4) < 0.1:
                answer = str(7 * prompt) if right else str(generator.integers(1000, 9999))
                rows.append({"step": step, "prompt": f"7 * {prompt}", "completion": answer, "reward": float(right)})
    return rows


def test_answers_that_are_equal_by_chance_all_count(tmp_path):
    for seed in range(20):
        rows = short_answers(seed)
        log = read_log(lines(tmp_path / "log.jsonl", rows))
        assert log.repeated == 0 and log.reward.sum() == sum(row["reward"] for row in rows)
    generator = np.random.default_rng(0)  # some prompts stand in a step twice, and their answers are few
    for _ in range(20):
        rows = [
            {"step": s, "prompt": f"question {p}", "completion": str(answer), "reward": float(answer == 0)}
            for s in range(12)
            for p in range(16)
            for answer in generator.integers(3, size=8 if p < 3 else 4).tolist()
        ]
        assert read_log(lines(tmp_path / "log.jsonl", rows)).repeated == 0


def test_a_step_that_a_resumed_run_wrote_twice_counts_once(tmp_path):
    for rows in (plain(), short_answers(1)):
        again = [row for row in rows if row["step"] in (2, 3)]
        place = next(place for place, row in enumerate(rows) if row["step"] == 4)
        log = read_log(lines(tmp_path / "log.jsonl", rows[:place] + again + rows[place:]))
        once = read_log(lines(tmp_path / "log.jsonl", rows))
        assert log.repeated == len(again) and log.reward.sum() == once.reward.sum()
        np.testing.assert_array_equal(gather_visits(log).count, gather_visits(once).count)


@pytest.mark.parametrize("name", ["epoch_{}_step_{}.jsonl", "epoch_{}/step_{}.jsonl", "step_{1}_epoch_{0}.jsonl"])
def test_steps_of_epochs_in_the_names_of_files(name, tmp_path):
    for begin_anew in (True, False):
        folder = tmp_path / str(begin_anew)
        for step in range(STEPS):
            lines(
                folder / name.format(step // 4, step % 4 if begin_anew else step),
                [{"prompt": f"question {p}", "reward": r} for s, p, k, r in of_step(step)],
            )
        visits = gather_visits(read_log(folder))
        assert len(visits.batches) == STEPS + 1 and sums(visits).tolist() == list(SUMS.values())


def test_a_step_that_goes_on_in_the_next_epoch_is_one(tmp_path):
    for place, (epoch, step) in enumerate([(0, 1), (0, 2), (1, 2), (1, 3)]):
        rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in of_step(0) if p // 6 == place % 2]
        lines(tmp_path / f"epoch_{epoch}_step_{step}.jsonl", rows)
    assert np.unique(read_log(tmp_path).step).tolist() == [1, 2, 3]


def test_a_number_within_a_word_is_no_step(tmp_path):
    for name in ("gsm8k", "math500"):
        lines(tmp_path / f"{name}.jsonl", [{"prompt": f"{name} {p}", "reward": r} for s, p, k, r in RUN])
    log = read_log(tmp_path)
    assert not log.has_steps and len(np.unique(log.step)) == STEPS
    for step in range(STEPS):
        rows = [{"prompt": f"question {p}", "reward": r} for s, p, k, r in of_step(step)]
        lines(tmp_path / "numbered" / f"rollouts{step}.jsonl", rows)
        lines(tmp_path / "both" / f"math500_{step}.jsonl", rows)
        for name in ("results", "data", "out", "gen"):
            lines(tmp_path / name / f"{name}{step}.jsonl", rows)
    for folder in ("numbered", "both", "results", "data", "out", "gen"):
        log = read_log(tmp_path / folder)
        assert log.has_steps and np.unique(log.step).tolist() == list(range(STEPS))


@pytest.mark.parametrize("names", [("grpo_seed0", "grpo_seed1"), ("baseline", "dapo")])
def test_several_runs_in_files_are_told(names, tmp_path):
    for place, name in enumerate(names):
        rows = [row | {"completion": name, "reward": abs(place - row["reward"])} for row in plain()]
        lines(tmp_path / f"{name}.jsonl", rows)
    said = f"{names[0]}.jsonl, {names[1]}.jsonl hold rollouts of the same prompts and steps and are read as one run: if"
    assert any(said in note and "give the file of one" in note for note in read_log(tmp_path).notes)


def test_files_of_processes_are_one_run(tmp_path):
    for part in range(4):
        lines(tmp_path / f"rollouts_rank{part}.jsonl", plain([row for row in RUN if row[2] % 4 == part]))
    log = read_log(tmp_path)
    assert log.notes == () and (gather_visits(log).count == GROUP).all()
