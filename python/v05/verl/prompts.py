"""Which prompt a uid of verl stands for: what TransferQueue holds of its row in the dataset."""

import json

import numpy as np

from .._core.prompt_key import prompt_key
from ..errors import InvalidArgument

_PARTITION = "train"


def stored_rollouts(uids):
    """{uid: keys of its rollouts in TransferQueue} of the batch in training. A key is {uid}_{session}_{output}."""
    import transfer_queue  # only the V1 trainer needs it

    keys = {uid: [] for uid in uids}
    for key, tag in transfer_queue.kv_list(_PARTITION)[_PARTITION].items():
        uid = key.rsplit("_", 2)[0]
        if uid in keys and not tag.get("is_prompt", False):
            keys[uid].append(key)
    unknown = [uid for uid in uids if not keys[uid]]
    if unknown:
        raise InvalidArgument(f"TransferQueue holds no rollout of uid {unknown[0]!r}, so its prompt is not known")
    return keys


def final_outputs(keys):
    """(n,) row of the last output of the session that each of n rows belongs to; a session with several outputs is one
    rollout with one reward."""
    last = {}
    for row, key in enumerate(keys):
        session, _, output = key.rpartition("_")
        if session not in last or int(output) > last[session][0]:
            last[session] = int(output), row
    return np.array([last[key.rpartition("_")[0]][1] for key in keys], dtype=np.int64)


def read_prompts(keys, with_text):
    """The rows of the dataset behind rollouts in TransferQueue: dicts with extra_info and raw_prompt (None unless
    with_text). verl stores every field of a row with each of its rollouts."""
    import transfer_queue

    fields = ["extra_info", "raw_prompt"] if with_text else ["extra_info"]
    return dataset_rows(
        transfer_queue.kv_batch_get(keys=keys, partition_id=_PARTITION, select_fields=fields), len(keys)
    )


def dataset_rows(data, count):
    """n dicts with extra_info and raw_prompt of a TensorDict of n rows; None for what it lacks."""
    extra_info, raw_prompt = (
        [None] * count if name not in data.keys() else _plain(data[name]) for name in ("extra_info", "raw_prompt")
    )
    return [{"extra_info": info or {}, "raw_prompt": prompt} for info, prompt in zip(extra_info, raw_prompt)]


def prompt_keys(prompts, id_field):
    """The keys of n prompts, dicts with extra_info and raw_prompt, the same at every visit.

    A key is the value of id_field in extra_info, or without id_field the text of the prompt together with
    extra_info["index"], which alone often starts anew in each file.
    """
    if id_field is None:
        return [json.dumps([_index(prompt), prompt_text(prompt)]) for prompt in prompts]
    values = field_values(prompts, id_field)
    for value, prompt in zip(values, prompts):
        if value is None:
            raise InvalidArgument(
                f"extra_info.{id_field} must tell all prompts apart, got none in {prompt['extra_info']!r:.200}"
            )
    return [prompt_key(_number(value)) for value in values]


def prompt_text(prompt):
    """What the messages of a prompt say, without images and sound; "" where raw_prompt was not read."""
    messages = prompt["raw_prompt"]
    if messages is None or isinstance(messages, str):
        return messages or ""
    return "\n".join(part for message in messages for part in _texts(message.get("content")))


def field_values(prompts, field):
    """extra_info[field] of n prompts, None where it is missing; it must not be missing everywhere."""
    if prompts and not any(field in prompt["extra_info"] for prompt in prompts):
        names = ", ".join(sorted({name for prompt in prompts for name in prompt["extra_info"]})) or "none"
        raise InvalidArgument(f"extra_info of the dataset has no field {field!r}; its fields: {names}")
    return [prompt["extra_info"].get(field) for prompt in prompts]


def _index(prompt):
    index = _number(prompt["extra_info"].get("index"))
    if index is None and _has_media(prompt["raw_prompt"]):
        raise InvalidArgument(
            "prompts with images or sound are told apart by extra_info: give algorithm.v05.id_field, or "
            "extra_info.index"
        )
    return index


def _texts(content):
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or () if isinstance(part, dict) and part.get("type") == "text"]


def _has_media(messages):
    contents = [message.get("content") for message in messages] if isinstance(messages, (list, tuple)) else []
    return any(not isinstance(content, str) and len(_texts(content)) < len(content or ()) for content in contents)


def _number(value):
    """Numbers of numpy as Python's."""
    return value.item() if hasattr(value, "item") else value


def _plain(column):
    return column.tolist() if hasattr(column, "tolist") else list(column)
