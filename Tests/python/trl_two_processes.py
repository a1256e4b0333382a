"""What test_trl_distributed.py starts in two processes. Writes {check: figures} of both to the file it is given."""

import hashlib
import json
import logging
import sys

import tiny_trl
import torch
import v05
from accelerate.utils import gather_object
from tiny_trl import trained, trainer, weights
from trl import GRPOTrainer, RLOOTrainer
from v05.trl import V05Config, V05GRPOTrainer, V05RLOOTrainer

PATH, FOLDER = sys.argv[1], sys.argv[2]
HALF = dict(per_device_train_batch_size=16)  # of the rollouts that one process would have


def digest(state):
    return hashlib.sha256(repr(sorted(state.items())).encode()).hexdigest()


def parity():
    found = {}
    for scale in "group", "batch", "none":
        stock = trained(GRPOTrainer, FOLDER, scale_rewards=scale, **HALF)
        swapped = trained(V05GRPOTrainer, FOLDER, V05Config(rule="grpo"), scale_rewards=scale, **HALF)
        found[scale] = torch.equal(weights(stock), weights(swapped))
    stock = trained(RLOOTrainer, FOLDER, beta=0.0, **HALF)
    swapped = trained(V05RLOOTrainer, FOLDER, V05Config(rule="rloo"), beta=0.0, **HALF)
    found["rloo"] = torch.equal(weights(stock), weights(swapped))
    return found


def heard(config, kind=V05GRPOTrainer, **options):
    """Rows that reached the loss of this process, step by step, and the trainer."""
    steps = {}

    def listen(made, inputs):
        steps.setdefault(made.state.global_step, []).extend(tiny_trl.rows(inputs))

    made = trained(kind, FOLDER, config, listen=listen, **HALF | options)
    return [steps[step] for step in sorted(steps)], made


def swapped():
    rows, made = heard(V05Config(rule="v05", prior="column", id_field="name"), max_steps=2)
    return {
        "rows": rows,
        "state": digest(made.v05_estimator.state_dict()),
        "weights": weights(made).sum().item(),
        "logged": list(made._logs["advantages"]),
    }


def allocated():
    found = {}
    for name, kind, options, config in (
        ("dapo", V05GRPOTrainer, {}, dict(allocation="osla")),
        ("grpo", V05GRPOTrainer, dict(loss_type="grpo"), dict(allocation="neyman", budget=50)),
        (
            "steps",
            V05GRPOTrainer,
            dict(per_device_train_batch_size=8, steps_per_generation=2),
            dict(allocation="neyman", budget=51),
        ),
        ("rloo", V05RLOOTrainer, dict(beta=0.0), dict(allocation="neyman", budget=41, wave=1)),
    ):
        config = V05Config(rule="v05", prior="column", initial=2, maximum=9, reward_range=(0, 1), **config)
        rows, made = heard(config, kind, max_steps=2, **options)
        found[name] = {
            "rows": rows,
            "state": digest(made.v05_estimator.state_dict()),
            "weights": weights(made).sum().item(),
            "logged": len(made._logs["advantages"]),
            "rounds": [line["v05/rounds"] for line in made.state.log_history if "v05/rounds" in line],
        }
    return found


def resumed():
    config = V05Config(rule="v05", id_field="name", allocation="osla", initial=2, reward_range=(0, 1))
    prompts = tiny_trl.dataset(96)
    prompts = prompts.remove_columns("name").add_column("name", [row % 4 for row in range(96)])
    options = HALF | dict(max_steps=4, save_strategy="steps", save_steps=2, train_dataset=prompts)
    whole = trained(V05GRPOTrainer, FOLDER, config, **options)
    again = trainer(V05GRPOTrainer, FOLDER, config, **options)
    again.train(resume_from_checkpoint=f"{FOLDER}/checkpoint-2")
    return {
        "same": torch.equal(weights(whole), weights(again)),
        "state": digest(again.v05_estimator.state_dict()),
        "steps": again.v05_estimator.steps,
    }


def errors():
    """The message that this process gets of set-ups that are wrong in one process, or anywhere."""

    def message(action):
        try:
            action()
        except v05.Error as error:
            return f"{type(error).__name__}: {error}"

    second = torch.distributed.get_rank() == 1
    made = trainer(V05GRPOTrainer, FOLDER, V05Config(id_field="name"), **HALF)
    rows = list(tiny_trl.dataset())
    nameless = [{"prompt": row["prompt"]} for row in rows]
    range_of_one = tiny_trl.dataset().remove_columns("prior").add_column("prior", [0.5] * 8 + [3.0] * 8)

    def late(completions, prompts, **columns):
        return [2.0 if second else 0.0] * len(completions)

    def undecided(prompts):
        asked.append(len(prompts))
        if len(asked) > 1:
            raise v05.InvalidArgument("no prior today")
        return [0.5] * len(prompts)

    asked = [0] if second else []
    return {
        "fewer rows": message(lambda: made._gathered_rows(rows[:-1] if second else rows)),
        "no column": message(lambda: made._gathered_rows(nameless if second else rows)),
        "reward": message(
            lambda: trained(V05GRPOTrainer, FOLDER, V05Config(reward_range=(0, 1)), reward_funcs=late, **HALF)
        ),
        "prior": message(
            lambda: trained(
                V05GRPOTrainer,
                FOLDER,
                V05Config(prior="column", reward_range=(0, 1)),
                train_dataset=range_of_one,
                **HALF,
            )
        ),
        "none": message(
            lambda: trained(
                V05GRPOTrainer,
                FOLDER,
                V05Config(allocation="osla", initial=2),
                max_steps=1,
                **HALF,
                reward_funcs=lambda completions, **columns: [None if second else 1.0] * len(completions),
            )
        ),
        "prior function": message(
            lambda: trained(
                V05GRPOTrainer, FOLDER, V05Config(prior=undecided, reward_range=(0, 1)), max_steps=2, **HALF
            )
        ),
        "level": logging.getLogger("v05").level,
    }


found = {check.__name__: check() for check in (parity, swapped, allocated, resumed, errors)}
gathered = gather_object([found])
if torch.distributed.get_rank() == 0:
    with open(PATH, "w") as file:
        json.dump(gathered, file)
torch.distributed.destroy_process_group()
