"""v05.axolotl with the trainer class of axolotl's released wheel, trained by TRL."""

import sys
import types

import pytest
import v05
from adapter_cases import definitions, released

torch = pytest.importorskip("torch")
pytest.importorskip("trl", reason="TRL is not installed: pip install './python[trl]'")
pytest.importorskip("pydantic")

from tiny_trl import trained, trainer, weights
from trl import GRPOTrainer


@pytest.fixture
def axolotl(request, monkeypatch):
    """v05.axolotl over the released class; its mixins, which need the whole of axolotl, are empty here."""
    source = released("axolotl==0.21.0", request.config.cache, "3.12")
    mixins = ("RngLoaderMixin", "SchedulerMixin", "OptimizerMixin", "OptimizerInitMixin", "DistributedParallelMixin")
    theirs = definitions(
        source("core/trainers/grpo/trainer.py"),
        ["AxolotlGRPOTrainer"],
        GRPOTrainer=GRPOTrainer,
        **{name: type(name, (), {}) for name in mixins},
    )
    base = definitions(source("axolotl/integrations/base.py"), ["BasePlugin"])
    for name, content in {
        "axolotl": {},
        "axolotl.core": {},
        "axolotl.core.trainers": {},
        "axolotl.core.trainers.grpo": {},
        "axolotl.core.trainers.grpo.trainer": {"AxolotlGRPOTrainer": theirs.AxolotlGRPOTrainer},
        "axolotl.integrations": {},
        "axolotl.integrations.base": {"BasePlugin": base.BasePlugin},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "v05.axolotl", raising=False)
    import v05.axolotl

    yield v05.axolotl
    monkeypatch.delitem(sys.modules, "v05.axolotl", raising=False)


def test_options_come_from_the_yaml_and_grpo_is_axolotls_bit_for_bit(axolotl, tmp_path):
    plugin = axolotl.V05Plugin()
    module, _, name = plugin.get_input_args().rpartition(".")
    arguments = getattr(sys.modules[module], name)
    assert arguments(v05={"rule": "grpo"}).v05 == {"rule": "grpo"} and arguments().v05 is None
    plugin.register({"v05": {"rule": "grpo"}})
    stock = trained(axolotl.AxolotlGRPOTrainer, tmp_path)
    ours = trained(axolotl.V05AxolotlGRPOTrainer, tmp_path)
    assert ours.v05_config.rule == "grpo" and torch.equal(weights(stock), weights(ours))


def test_the_default_rule_trains(axolotl, tmp_path):
    axolotl.V05Plugin().register({})
    made = trained(
        axolotl.V05AxolotlGRPOTrainer, tmp_path, reward_funcs=lambda prompts, **rest: [1.0, 0.0] * (len(prompts) // 2)
    )
    assert made.v05_config.rule == "calibrated" and made.v05_estimator.steps == 3


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"rules": "v05"}, "options of V05Config, which are rule, .* got rules"),
        (["v05"], "must be options of V05Config"),
    ],
)
def test_wrong_entries(axolotl, entry, message):
    with pytest.raises(v05.Error, match=message):
        axolotl.V05Plugin().register({"v05": entry})


def test_wrong_options_are_told_at_the_start(axolotl, tmp_path):
    axolotl.V05Plugin().register({"v05": {"rule": "best"}})
    with pytest.raises(v05.InvalidArgument, match="rule must be one of"):
        trainer(axolotl.V05AxolotlGRPOTrainer, tmp_path)
