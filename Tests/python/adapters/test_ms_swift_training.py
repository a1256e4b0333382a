"""ms-swift itself trains a tiny model with v05 and goes on from its checkpoint. Needs an environment of its own:

pip install torch==2.13.0+cpu "ms-swift==4.6.0" "trl<1.0" msgspec pytest
"""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("swift.rlhf_trainers", reason="ms-swift is not installed")

MODEL = """
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    # Many characters, so that no completion ends at once: the trainer cannot train on an empty one.
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"]
    letters = [chr(code) for code in [10, *range(32, 127), *range(0x4E00, 0x4E00 + 3000)]]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate([*special, *letters])}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\\s\\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=special[0], eos_token=special[2], unk_token=special[3],
        additional_special_tokens=[special[1]]).save_pretrained("model")
    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(
        vocab_size=len(special) + len(letters), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=256, eos_token_id=2, pad_token_id=0,
        bos_token_id=None)).save_pretrained("model")
    """
PLUGIN = """
    from swift.rewards import ORM, orms
    from v05.ms_swift import install


    class EvenFirst(ORM):
        def __call__(self, completions, **_):
            return [float(ord(completion[0]) % 2 == 0) if completion else 0.0 for completion in completions]


    orms["even_first"] = EvenFirst
    install(rule="v05", reward_range=(0, 1))
    """
ARGUMENTS = """
    --rlhf_type grpo --model model --model_type qwen2 --template qwen2_5 --tuner_type full --attn_impl eager --use_hf
    true --dataset data.jsonl --load_from_cache_file false --dataloader_num_workers 0 --eval_strategy no
    --external_plugins plugin.py --reward_funcs even_first --use_vllm false --num_generations 4 --beta 0.0
    --per_device_train_batch_size 16 --gradient_accumulation_steps 1 --max_completion_length 4
    --torch_dtype float32 --bf16 false --fp16 false --report_to none --output_dir out --add_version false
    --save_steps 2 --logging_steps 1 --log_completions true
    """


@pytest.mark.slow
def test_training_and_resuming(tmp_path):
    prompts = [{"messages": [{"role": "user", "content": f"say {number}"}]} for number in range(8)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    (tmp_path / "plugin.py").write_text(textwrap.dedent(PLUGIN))
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)

    def run(code, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def train(*arguments):
        script = "import sys; from swift.pipelines import rlhf_main; rlhf_main(sys.argv[1:])"
        run(script, *ARGUMENTS.split(), *arguments)
        lines = [json.loads(line) for line in (tmp_path / "out" / "logging.jsonl").read_text().splitlines()]
        return [line for line in lines if "v05/groups" in line]

    run(MODEL)
    # Two steps are an epoch: no prompt has been seen.
    assert [line["v05/without_prior"] for line in train("--max_steps", "2")] == [1, 1]
    assert (tmp_path / "out" / "checkpoint-2" / "v05.zip").exists()
    check_without_prior(tmp_path / "out" / "completions.jsonl")
    # The history of the checkpoint knows them all in the second epoch.
    resumed = train("--max_steps", "4", "--resume_from_checkpoint", "out/checkpoint-2")
    assert [line["v05/without_prior"] for line in resumed[-2:]] == [0, 0]


def check_without_prior(path):
    """What ms-swift logged: reward minus the mean of the other three of the group."""
    for line in path.read_text().splitlines():
        table = json.loads(line)
        rewards = np.array(table["EvenFirst"]).reshape(-1, 4)
        expected = rewards - (rewards.sum(axis=1, keepdims=True) - rewards) / 3
        np.testing.assert_allclose(np.array(table["advantages"]).reshape(-1, 4), expected, atol=1e-6)
