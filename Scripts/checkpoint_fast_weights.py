"""Fast weights in convert_checkpoint.py: the language model that labml-nn's experiment makes (AutoregressiveModel), of
either form of its attention; checkpoint_fla.py has those of flash-linear-attention."""
import json
import re

import checkpoint_fla
from checkpoint_base import Architecture, InputError, linear, shape

LAYER = "transformer.layers."
# The token-wise form calls the weight of β `gate`; here and in the parallel form it is `interpolation_weight`.
TOKEN_WISE = re.compile(r"(transformer\.layers\.\d+\.attn\.)gate\.")


def rename(state):
    """The keys of the parallel form."""
    return {TOKEN_WISE.sub(r"\1interpolation_weight.", key): tensor for key, tensor in state.items()}


def infer(state, given):
    if not any(key.startswith(LAYER) for key in state):
        raise InputError(f'no key begins with "{LAYER}"; expected the state dict of an AutoregressiveModel of labml-nn\'s'
                         " fast_weights")
    n_vocab, d_model = shape(state, "src_embed.weight", 2)
    first = LAYER + "0."
    weight = first + "attn.interpolation_weight.0.linear.weight"
    if weight not in state:
        raise InputError(f"lacks {weight}: neither a β that is fixed nor softmax attention is anything that labml-nn has")
    return dict(n_vocab=n_vocab, d_model=d_model, heads=shape(state, weight, 2)[0],
                d_ff=shape(state, first + "feed_forward.layer1.weight", 2)[0],
                n_layers=1 + max(int(m[1]) for key in state if (m := re.match(re.escape(LAYER) + r"(\d+)\.", key))),
                gated_feed_forward=first + "feed_forward.linear_v.weight" in state)


def shapes(c):
    d, hidden = c["d_model"], c["d_ff"]
    layer = {f"attn.{name}.linear.weight": (d, d) for name in ("query", "key", "value")}
    layer["attn.interpolation_weight.0.linear.weight"] = (c["heads"], d)
    layer |= linear("attn.output", d, d) | linear("feed_forward.layer1", d, hidden)
    layer |= linear("feed_forward.layer2", hidden, d)
    layer |= linear("feed_forward.linear_v", d, hidden) if c["gated_feed_forward"] else {}
    layer |= norm("norm_self_attn", d) | norm("norm_ff", d)
    return {"src_embed.weight": (c["n_vocab"], d),
            **{f"{LAYER}{i}.{key}": size for i in range(c["n_layers"]) for key, size in layer.items()},
            **norm("transformer.norm", d), **linear("generator", d, c["n_vocab"])}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def to_peer(config, inferred):
    """Leaves out our own options, and says which make the peer compute something else."""
    matter = [key for key in OWN if key not in HARMLESS and config[key] != OWN[key]]
    lines = [f"labml-nn has no {key}, which is {json.dumps(config[key])} here: it computes something else"
             for key in matter]
    return {key: value for key, value in config.items() if key not in OWN}, lines


def from_peer(config, inferred):
    if config["beta"] != "input":
        raise InputError(f'"beta" is {json.dumps(config["beta"])}, but the weights have a β that follows from the input;'
                         ' expected "input"')
    for key in PARAMETERS:
        if config[key] != OWN[key]:
            raise InputError(f'"{key}" is {json.dumps(config[key])}, but the weights are those of labml-nn; expected'
                             f" {json.dumps(OWN[key])}")
    if config["feature_map"] in ("favor", "softmax"):
        raise InputError(f'"feature_map" is {json.dumps(config["feature_map"])}, but the weights are those of labml-nn\'s DPFP;'
                         ' expected "dpfp" or "elu"')
    # Of two keys for one choice only the newer one is written.
    norm = config["qk_norm"] if config["sum_normalization"] else "none"
    return {key: value for key, value in config.items() if key != "sum_normalization"} | dict(qk_norm=norm), []


OWN = dict(eps=1e-6, feature_map="dpfp", favor_features=128, favor_redraw=True, update_rule="delta",
           sum_normalization=True, attention_normalization=False, beta="input", positions=False, pre_norm=False,
           recompute_states=True, identical_layers=False, decay="none", short_convolution=0, qk_activation="identity",
           qk_norm="sum", beta_range=1, output_norm="none", output_gate=False, norm="layer", norm_eps=1e-5,
           feed_forward_activation="relu")
# Of another feature map; of the initial weights.
HARMLESS = {"favor_features", "favor_redraw", "recompute_states", "identical_layers"}
# What adds parameters, or takes some away.
PARAMETERS = ["decay", "short_convolution", "output_norm", "output_gate", "norm"]
SIZES = ["n_vocab", "d_model", "heads", "d_ff", "n_layers", "nu", "favor_features"]

FAST_WEIGHTS = Architecture(
    "AutoregressiveModel of labml-nn",
    dict(n_vocab=int, d_model=int, nu=1, heads=int, dropout=0.0, d_ff=int, n_layers=int, gated_feed_forward=False), OWN, "",
    dict(feature_map=("dpfp", "elu", "favor", "softmax", "identity"), update_rule=("delta", "sum")),
    {key: (1, 1 << 24) for key in SIZES} | dict(dropout=(0, 1)), infer, shapes, dict(beta=float), dict(beta=["input"]),
    from_peer=from_peer, to_peer=to_peer, rename=rename,
    variant=lambda architecture, state: checkpoint_fla.variant(state) or architecture,
    roots=frozenset({"src_embed", "transformer", "generator", "lm_head", "embeddings", "layers"}))
