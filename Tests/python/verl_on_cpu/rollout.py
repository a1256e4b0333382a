"""Rollouts by a Ray actor that samples token by token from a transformers model."""

import ray
import torch
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput


@ray.remote
class Server:
    def __init__(self, path):
        from transformers import AutoModelForCausalLM

        torch.manual_seed(0)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        self.global_steps = 0

    def load(self, weights, global_steps):
        self.model.load_state_dict(weights, strict=False)
        self.global_steps = global_steps

    @torch.no_grad()
    def generate(self, request_id, prompt_ids, sampling_params, **_):
        tokens, log_probs = list(prompt_ids), []
        for _ in range(RESPONSE):
            scores = torch.log_softmax(self.model(torch.tensor([tokens])).logits[0, -1], -1)
            token = int(torch.multinomial(scores.exp(), 1)) if sampling_params["temperature"] else int(scores.argmax())
            tokens.append(token)
            log_probs.append(float(scores[token]))
            if token == self.model.config.eos_token_id:
                break
        return TokenOutput(
            token_ids=tokens[len(prompt_ids) :],
            log_probs=log_probs,
            stop_reason="completed",
            num_preempted=0,
            extra_fields={"global_steps": self.global_steps},
        )

    def nothing(self, **_):
        pass

    wake_up = sleep = abort_all_requests = resume_generation = nothing
    clear_kv_cache = release_kv_cache = resume_kv_cache = start_profile = stop_profile = nothing


RESPONSE = 6


class Replica(RolloutReplica):
    async def launch_servers(self):
        path = self.model_config.path
        server = Server.options(name=f"hfcpu_{self.replica_rank}").remote(path)
        self.servers, self._server_handle, self._server_address = [server], server, f"hfcpu_{self.replica_rank}"


class Weights(BaseRollout):
    """In the training process: sends the policy's weights to the server."""

    async def resume(self, tags):
        pass

    async def release(self):
        pass

    async def update_weights(self, weights, global_steps=None, **_):
        state = {
            name: (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach().float().cpu().clone()
            for name, tensor in weights
        }
        await ray.get_actor("hfcpu_0").load.remote(state, global_steps or 0)
