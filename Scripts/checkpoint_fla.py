"""flash-linear-attention in convert_checkpoint.py: the state dicts and configurations of its DeltaNetForCausalLM and
GatedDeltaNetForCausalLM, which are fast weights with the recipe of 2406.06484 and of 2412.06464."""
import json
import re
from dataclasses import replace

from checkpoint_base import Architecture, InputError, linear, shape, some

PEERS_LAYER, OUR_LAYER = "model.layers.", "transformer.layers."
# Their names and ours, of a layer and of what is around the layers.
IN_LAYER = {
    "attn_norm.weight": "norm_self_attn.weight", "mlp_norm.weight": "norm_ff.weight",
    **{f"attn.{name[0]}_proj.weight": f"attn.{name}.linear.weight" for name in ("query", "key", "value")},
    **{f"attn.{name[0]}_conv1d.weight": f"attn.{name}_convolution.weight" for name in ("query", "key", "value")},
    "attn.b_proj.weight": "attn.interpolation_weight.0.linear.weight",
    "attn.a_proj.weight": "attn.decay.weight", "attn.dt_bias": "attn.decay.bias", "attn.A_log": "attn.decay.log_rate",
    "attn.g_proj.weight": "attn.output_gate.weight", "attn.o_norm.weight": "attn.output_norm.weight",
    "attn.o_proj.weight": "attn.output.weight", "mlp.gate_proj.weight": "feed_forward.layer1.weight",
    "mlp.up_proj.weight": "feed_forward.linear_v.weight", "mlp.down_proj.weight": "feed_forward.layer2.weight",
}
AROUND = {"model.embeddings.weight": "src_embed.weight", "model.norm.weight": "transformer.norm.weight",
          "lm_head.weight": "generator.weight"}


def renamed(key, in_layer, around, layer, new_layer):
    """The other name of a key, or the key itself where it has none; a bias is named as its weight."""
    def other(key):
        match = re.match(re.escape(layer) + r"(\d+)\.", key)
        inner = key[match.end():] if match else None
        return f"{new_layer}{match[1]}.{in_layer[inner]}" if inner in in_layer else around.get(key)

    stem = key.removesuffix("bias")
    of_weight = other(stem + "weight") if stem != key else None
    return other(key) or (of_weight and of_weight.removesuffix("weight") + "bias") or key


def our_name(key):
    return renamed(key, IN_LAYER, AROUND, PEERS_LAYER, OUR_LAYER)


def peers_name(key):
    back = lambda names: {ours: theirs for theirs, ours in names.items()}
    return renamed(key, back(IN_LAYER), back(AROUND), OUR_LAYER, PEERS_LAYER)


# MARK: State dicts

# Ours has biases where the peer has none: they are zeros.
BIASES = ["attn.output.bias", "feed_forward.layer1.bias", "feed_forward.linear_v.bias", "feed_forward.layer2.bias"]


def rename(state):
    """Our names; with zeros for the biases that the peer has not."""
    # A wrapper "model." is taken off where embeddings and head are one tensor, and no name begins otherwise.
    whole = {key if key.startswith(("model.", "lm_head.")) else "model." + key: tensor for key, tensor in state.items()}
    named = {our_name(key): tensor for key, tensor in whole.items()}
    for key, tensor in list(named.items()):
        bias = key.removesuffix("weight") + "bias"
        if key in ("src_embed.weight", "generator.weight"):
            named.setdefault("generator.bias", tensor.new_zeros(tensor.shape[:1]))
        elif bias.startswith(OUR_LAYER) and bias.split(".", 3)[-1] in BIASES:
            named.setdefault(bias, tensor.new_zeros(tensor.shape[:1]))
    return named


def restore(state):
    """The peer's names, without the biases: an error where one is not zero."""
    biases = {key for key in state if key == "generator.bias" or key.split(".", 3)[-1] in BIASES}
    if used := sorted(key for key in biases if state[key].any()):
        raise InputError(f"{used[0]} is not zero, but flash-linear-attention has no biases: it computes something else")
    return {peers_name(key): tensor for key, tensor in state.items() if key not in biases}


def lacking(state):
    """Of a model whose logits have the embeddings' matrix (tie_word_embeddings) the one that is not stored."""
    pair = ("generator.weight", "src_embed.weight")
    return {key: other for key, other in (pair, pair[::-1]) if key not in state and other in state}


def infer(state, given):
    """Of a state dict under our names."""
    if not any(key.startswith(OUR_LAYER) for key in state):
        raise InputError(f'no key begins with "{PEERS_LAYER}"; expected the state dict of a DeltaNetForCausalLM or'
                         " GatedDeltaNetForCausalLM of flash-linear-attention")
    n_vocab, d = shape(state, "src_embed.weight", 2)
    first = OUR_LAYER + "0."
    require_square(state, first, d)
    convolution, columns = first + "attn.query_convolution.weight", size(state, first + "attn.output_norm.weight", 1)[0]
    if convolution not in state:
        raise InputError(f"lacks {peers_name(convolution)}: without it (use_short_conv) values pass a SiLU there, not here")
    return dict(n_vocab=n_vocab, d_model=d, heads=d // columns, d_ff=size(state, first + "feed_forward.layer1.weight", 2)[0],
                n_layers=1 + max(int(m[1]) for key in state if (m := re.match(re.escape(OUR_LAYER) + r"(\d+)\.", key))),
                short_convolution=shape(state, convolution, 3)[2],
                beta="input" if first + "attn.interpolation_weight.0.linear.weight" in state else 1.0,
                decay="scalar" if first + "attn.decay.weight" in state else "none",
                output_gate=first + "attn.output_gate.weight" in state)


def size(state, key, dimensions):
    if key not in state:
        raise InputError(f"lacks {peers_name(key)}")
    return shape(state, key, dimensions)


def require_square(state, first, d):
    """Names what makes queries, keys or values of another width than the model's."""
    of_keys, of_values = "expand_k, or head_dim and num_heads", "expand_v, or head_dim and num_v_heads"
    parts = ("query", "queries", of_keys), ("key", "keys", of_keys), ("value", "values", of_values)
    for name, plural, option in parts:
        key = f"{first}attn.{name}.linear.weight"
        if (found := size(state, key, 2)) != (d, d):
            raise InputError(f'"{peers_name(key)}": {found[0]} columns of {plural} ({option}); expected as many as the model'
                             f" has, {d}")


def infer_theirs(state, given):
    """As `infer`, with all that is missing or unknown under the peer's names."""
    config = infer(state, given)
    expected = shapes(config)
    missing = map(peers_name, expected.keys() - state.keys())
    if missing := [key for key in missing if not key.endswith(".bias")]:
        raise InputError(f"lacks {some(missing)}")
    if unknown := state.keys() - expected.keys():
        raise InputError(f"has {some(map(peers_name, unknown))}, which such a model has not here")
    return config


def infer_ours(state, given):
    """As `infer`, of a model from here, whose options may have other parameters."""
    for key in ("norm", "gated_feed_forward"):
        if key in given and given[key] != FIXED[key]:
            raise InputError(f'"{key}" is {json.dumps(given[key])}, which no peer has with the recipe; expected'
                             f" {json.dumps(FIXED[key])}")
    return infer(state, given)


def shapes(c):
    d, h, hidden = c["d_model"], c["heads"], c["d_ff"]
    names = ("query", "key", "value")
    layer = {f"attn.{name}.linear.weight": (d, d) for name in names}
    layer |= {f"attn.{name}_convolution.weight": (d, 1, c["short_convolution"]) for name in names}
    layer |= {"attn.interpolation_weight.0.linear.weight": (h, d)} if c["beta"] == "input" else {}
    layer |= {"attn.decay.weight": (h, d), "attn.decay.bias": (h,), "attn.decay.log_rate": (h,)} \
        if c["decay"] == "scalar" else {}
    layer |= {"attn.output_gate.weight": (d, d)} if c["output_gate"] else {}
    layer |= {"attn.output_norm.weight": (d // h,), "norm_self_attn.weight": (d,), "norm_ff.weight": (d,)}
    layer |= linear("attn.output", d, d) | linear("feed_forward.layer2", hidden, d)
    layer |= linear("feed_forward.layer1", d, hidden) | linear("feed_forward.linear_v", d, hidden)
    return {"src_embed.weight": (c["n_vocab"], d), "transformer.norm.weight": (d,), **linear("generator", d, c["n_vocab"]),
            **{f"{OUR_LAYER}{i}.{key}": size for i in range(c["n_layers"]) for key, size in layer.items()}}


# MARK: Configurations

SIZES = dict(vocab_size="n_vocab", hidden_size="d_model", num_heads="heads", intermediate_size="d_ff",
             num_hidden_layers="n_layers")
# The class by its `model_type`, and what the peer's keywords are where its configuration does not say.
CLASSES = {
    "delta_net": ("DeltaNetForCausalLM", dict(use_gate=False, qk_activation="silu", expand_k=1, expand_v=1, qk_norm="l2")),
    "gated_deltanet": ("GatedDeltaNetForCausalLM", dict(use_gate=True, expand_v=2, output_gate_activation="swish")),
}
# Of both classes.
COMMON = dict(use_short_conv=True, conv_size=4, conv_bias=False, allow_neg_eigval=False, use_beta=True, norm_eps=1e-6,
              hidden_act="swish", attn=None, attnres_block_size=None)
# Values of the peer's keywords that are computed here, the first of them as it writes it.
COMPUTED = dict(expand_k=[1], expand_v=[1], qk_norm=["l2"], hidden_act=["swish"], attn=[None], attnres_block_size=[None],
                use_short_conv=[True], conv_bias=[False], output_gate_activation=["swish", "silu"])


def keywords(found):
    """Our keywords of a configuration of the peer's; one of ours as it is."""
    if "hidden_size" not in found:
        return found
    kind = found.get("model_type")
    if kind not in CLASSES:
        raise InputError(f'"model_type" is {json.dumps(kind)}; expected {" or ".join(map(json.dumps, CLASSES))}')
    full = COMMON | CLASSES[kind][1] | found
    for key, values in COMPUTED.items():
        if key in full and full[key] not in values:
            raise InputError(f'"{key}" is {json.dumps(full[key])}, which is not computed here; expected'
                             f" {json.dumps(values[0])}")
    heads, columns = full.get("num_heads"), full.get("head_dim")
    if full.get("num_v_heads") not in (None, heads):
        raise InputError(f'"num_v_heads" is {json.dumps(full["num_v_heads"])}; expected as many as "num_heads", {heads}')
    if kind == "gated_deltanet" and columns and heads and heads * columns != full["hidden_size"]:
        raise InputError(f'"head_dim" is {json.dumps(columns)}; expected "hidden_size" / "num_heads", that is'
                         f' {full["hidden_size"]} / {heads}')
    if not full["use_beta"] and full["allow_neg_eigval"]:
        raise InputError('"allow_neg_eigval" is true without "use_beta", which is not computed here; expected false')
    ours = {ours: full[theirs] for theirs, ours in SIZES.items() if full.get(theirs) is not None}
    return ours | dict(
        short_convolution=full["conv_size"], output_gate=full["use_gate"],
        beta="input" if full["use_beta"] else 1.0, beta_range=2 if full["allow_neg_eigval"] else 1,
        decay="scalar" if kind == "gated_deltanet" else "none", qk_activation=full.get("qk_activation", "silu"),
        norm_eps=full["norm_eps"])


def from_peer(config, inferred):
    for key, value in FIXED.items():
        if config[key] != value:
            raise InputError(f'"{key}" is {json.dumps(config[key])}, but the weights are those of flash-linear-attention;'
                             f" expected {json.dumps(value)}")
    return config, ["flash-linear-attention has no biases: those of output, feed-forward and logits are zeros"]


def to_peer(config, inferred):
    """The peer's configuration, and what it computes otherwise."""
    kind = "gated_deltanet" if config["decay"] == "scalar" else "delta_net"
    if kind == "gated_deltanet" and config["beta"] != "input":
        raise InputError(f'"beta" is {json.dumps(config["beta"])}, but {CLASSES[kind][0]} computes it; expected "input"')
    differs = {key: config[key] for key, value in FIXED.items() if config[key] != value}
    if kind == "gated_deltanet" and config["qk_activation"] != "silu":
        differs["qk_activation"] = config["qk_activation"]
    lines = [f"{CLASSES[kind][0]} has no {key} {json.dumps(value)}, which it is here: it computes something else"
             for key, value in differs.items()]
    own = dict(head_dim=config["d_model"] // config["heads"], expand_v=1) if kind == "gated_deltanet" else dict(
        qk_activation=config["qk_activation"], qk_norm="l2", use_beta=config["beta"] == "input", expand_k=1, expand_v=1)
    return {theirs: config[ours] for theirs, ours in SIZES.items()} | own | dict(
        model_type=kind, architectures=[CLASSES[kind][0]], use_short_conv=True, conv_size=config["short_convolution"],
        use_gate=config["output_gate"], allow_neg_eigval=config["beta_range"] == 2, norm_eps=config["norm_eps"],
        hidden_act="swish", tie_word_embeddings=False), lines


# MARK: Entries of the converter

# Our options that the peer computes at these values only, and those that change no number of its.
FIXED = dict(feature_map="identity", qk_norm="l2", update_rule="delta", attention_normalization=False, eps=1e-6,
             positions=False, pre_norm=True, norm="rms", output_norm="rms", gated_feed_forward=True,
             feed_forward_activation="silu")
OWN = FIXED | dict(dropout=0.0, nu=1, favor_features=128, favor_redraw=True, recompute_states=True,
                   identical_layers=False)

THEIRS = Architecture(
    "DeltaNetForCausalLM and GatedDeltaNetForCausalLM of flash-linear-attention",
    dict(n_vocab=int, d_model=int, heads=int, d_ff=int, n_layers=int, short_convolution=int, beta="input", decay=str,
         output_gate=bool, qk_activation="silu", beta_range=1, norm_eps=1e-6),
    OWN, "", dict(qk_activation=("silu", "relu", "elu", "identity"), decay=("none", "scalar")),
    dict(norm_eps=(0, 1), beta_range=(1, 3)), infer_theirs, shapes, dict(beta=float), dict(beta=["input"]),
    from_peer=from_peer, to_peer=to_peer, rename=rename, restore=restore, keywords=keywords, has_configuration=True,
    names="this package", lacking=lacking)
OURS = replace(THEIRS, infer=infer_ours, rename=lambda state: state)


def variant(state):
    """The entry that a state dict is of; None for one of labml-nn's."""
    if any(".q_proj." in key or ".A_log" in key for key in state):
        return THEIRS
    return OURS if any(key.endswith(".attn.output_norm.weight") for key in state) else None
