"""Which of transformers' optimizers a run can be made with on this machine."""

from __future__ import annotations

from importlib.util import find_spec

from transformers.training_args import OptimizerNames

from models.schema import UserError

# By how an optimizer's name begins: the module that it is in, and its package.
_MODULES = {
    "adamw_anyprecision": ("torchdistx", "torchdistx"),
    "adamw_torch_4bit": ("torchao", "torchao"),
    "adamw_torch_8bit": ("torchao", "torchao"),
    "adamw_torch_xla": ("torch_xla", "torch_xla"),
    "adamw_torch_npu": ("torch_npu", "torch_npu"),
    "lomo": ("lomo_optim", "lomo-optim"),
    "adalomo": ("lomo_optim", "lomo-optim"),
    "grokadamw": ("grokadamw", "grokadamw"),
    "schedule_free": ("schedulefree", "schedulefree"),
    "stable_adamw": ("optimi", "torch-optimi"),
    "paged_": ("bitsandbytes", "bitsandbytes"),
    "lion_": ("bitsandbytes", "bitsandbytes"),
    "ademamix": ("bitsandbytes", "bitsandbytes"),
    "rmsprop_bnb": ("bitsandbytes", "bitsandbytes"),
    "adamw_bnb": ("bitsandbytes", "bitsandbytes"),
    "adamw_8bit": ("bitsandbytes", "bitsandbytes"),
}
# They project the gradients of layers that have to be named, for which there is no option.
_NEED_LAYERS = ("galore_", "apollo_")
_INSTEAD = "Leave out --optimizer."


def check_optimizer(name: str) -> None:
    """UserError where there is no such optimizer, or where its package is missing."""
    if name not in {each.value for each in OptimizerNames}:
        raise UserError(f"transformers has no optimizer {name!r}.", _INSTEAD)
    if name.startswith(_NEED_LAYERS):
        raise UserError(f"{name} wants to be told the layers that it projects.", _INSTEAD)
    for beginning, (module, package) in _MODULES.items():
        if name.startswith(beginning) and find_spec(module) is None:
            raise UserError(
                f"The optimizer {name} needs the package {package}, which is not installed.",
                f"Install it with `pip install {package}`, or leave out --optimizer.",
            )
