"""V_0.5 inside TRL: `GRPOTrainer` and `RLOOTrainer` with another baseline (extra v05[trl]).

    from v05.trl import V05Config, V05GRPOTrainer

    trainer = V05GRPOTrainer(model=..., reward_funcs=..., args=GRPOConfig(...), train_dataset=..., v05=V05Config())

Everything else is TRL's. The trainers are subclasses, nothing of TRL is replaced.
"""

from .config import V05Config
from .grpo import V05GRPOTrainer
from .rloo import V05RLOOTrainer

__all__ = ["V05Config", "V05GRPOTrainer", "V05RLOOTrainer"]
