"""What convert_checkpoint.py knows of each architecture: the peer's keywords, and how the shapes of a state dict and a
configuration follow from each other."""
import re

from checkpoint_base import Architecture, InputError, multiple, shape
from checkpoint_block_recurrent import BLOCK_RECURRENT
from checkpoint_fast_weights import FAST_WEIGHTS
from checkpoint_linformer import LINFORMER


def layer_count(state, kind):
    count = 1 + max((int(m[1]) for key in state if (m := re.match(r"layers\.(\d+)\.", key))), default=-1)
    if count == 0:
        raise InputError(f'no key begins with "layers."; expected the state dict of a {kind}')
    return count


def infer_flash(state, given):
    num_tokens, dim = shape(state, "token_emb.weight", 2)
    return dict(num_tokens=num_tokens, dim=dim, depth=layer_count(state, "FLASHTransformer"),
                query_key_dim=shape(state, "layers.0.to_qk.0.weight", 2)[0],
                expansion_factor=factor(shape(state, "layers.0.to_out.weight", 2)[1], dim),
                norm_type="scalenorm" if "layers.0.norm.g" in state else "layernorm")


def factor(hidden, dim):
    """A factor with int(factor * dim) == hidden: the quotient, unless rounding takes it below."""
    quotient = hidden / dim
    return quotient if int(quotient * dim) == hidden else (hidden + 0.5) / dim


def flash_shapes(c):
    d, s, e, v = c["dim"], c["query_key_dim"], int(c["expansion_factor"] * c["dim"]), c["num_tokens"]
    norm = {"g": (1,)} if c["norm_type"] == "scalenorm" else {"weight": (d,), "bias": (d,)}
    layer = {"rotary_pos_emb.freqs": (min(32, s) // 2,), "rel_pos_bias.relative_attention_bias.weight": (32, 1),
             **{f"norm.{k}": size for k, size in norm.items()},
             "to_hidden.0.weight": (2 * e, d), "to_hidden.0.bias": (2 * e,), "to_qk.0.weight": (s, d),
             "to_qk.0.bias": (s,), "qk_offset_scale.gamma": (4, s), "qk_offset_scale.beta": (4, s),
             "to_out.weight": (d, e), "to_out.bias": (d,)}
    return {"token_emb.weight": (v, d), "abs_pos_emb.scale": (1,), "abs_pos_emb.inv_freq": ((d + 1) // 2,),
            **{f"layers.{i}.{k}": size for i in range(c["depth"]) for k, size in layer.items()},
            "to_logits.0.weight": (d,), "to_logits.0.bias": (d,), "to_logits.1.weight": (v, d), "to_logits.1.bias": (v,)}


def flash_shared(state):
    """The layers have one rotary embedding."""
    return [[f"layers.{i}.rotary_pos_emb.freqs" for i in range(layer_count(state, "FLASHTransformer"))]]


def flash_lacking(state):
    keys = flash_shared(state)[0]
    found = next((key for key in keys if key in state), None)
    return {key: found for key in keys if key not in state and found}


def infer_local(state, given):
    num_tokens, dim = shape(state, "token_emb.weight", 2)
    depth = layer_count(state, "LocalTransformer")
    attention, feed_forward = "layers.0.0.branch.", "layers.0.1.branch."
    inner = shape(state, attention + "to_out.weight", 2)[1]
    has_bias = "dynamic_pos_bias.mlp.4.bias" in state  # else every layer has its own rotary frequencies
    if has_bias:
        heads = shape(state, "dynamic_pos_bias.mlp.4.bias", 1)[0]
        dim_head = inner // max(heads, 1)
    else:
        dim_head = 2 * shape(state, attention + "attn_fn.rel_pos.inv_freq", 1)[0]
        heads = inner // max(dim_head, 1)
    streams = shape(state, "layers.0.0.static_alpha", 2)[0] if "layers.0.0.static_alpha" in state else 1
    return dict(num_tokens=num_tokens, max_seq_len=shape(state, "pos_emb.weight", 2)[0], dim=dim, depth=depth,
                dim_head=dim_head, heads=heads, use_dynamic_pos_bias=has_bias, num_residual_streams=streams,
                ff_mult=multiple(shape(state, feed_forward + "4.weight", 2)[1], dim),
                qk_rmsnorm=attention + "q_scale" in state,
                gate_values_per_head=attention + "to_v_gate.0.weight" in state)


def local_shapes(c):
    d, h, e, s = c["dim"], c["heads"], c["dim_head"], c["num_residual_streams"]
    inner, hidden = h * e, int(c["dim"] * c["ff_mult"] * 2 / 3)
    connection = {"static_alpha": (s, s + 1), "dynamic_alpha_fn": (d, s + 1), "dynamic_alpha_scale": (),
                  "static_beta": (s,), "dynamic_beta_fn": (d,), "dynamic_beta_scale": (),
                  "norm.gamma": (d,)} if s > 1 else {}
    attention = {"norm.weight": (d,), "norm.bias": (d,), "to_qkv.weight": (3 * inner, d), "to_out.weight": (d, inner)}
    attention |= {} if c["use_dynamic_pos_bias"] else {"attn_fn.rel_pos.inv_freq": ((e + 1) // 2,)}
    attention |= {"q_scale": (e,), "k_scale": (e,)} if c["qk_rmsnorm"] else {}
    attention |= {"to_v_gate.0.weight": (h, d), "to_v_gate.0.bias": (h,)} if c["gate_values_per_head"] else {}
    feed_forward = {"0.weight": (d,), "0.bias": (d,), "1.weight": (2 * hidden, d), "4.weight": (d, hidden)}
    layer = {f"{i}.{k}": size for i, branch in enumerate((attention, feed_forward))
             for k, size in {**connection, **{f"branch.{k}": size for k, size in branch.items()}}.items()}
    bias = {f"dynamic_pos_bias.mlp.{i}.{k}": size for i, n, m in ((0, d // 2, 1), (2, d // 2, d // 2), (4, h, d // 2))
            for k, size in (("weight", (n, m)), ("bias", (n,)))} if c["use_dynamic_pos_bias"] else {}
    return {"token_emb.weight": (c["num_tokens"], d), "pos_emb.weight": (c["max_seq_len"], d), **bias,
            **{f"layers.{i}.{k}": size for i in range(c["depth"]) for k, size in layer.items()},
            "to_logits.0.weight": (d,), "to_logits.0.bias": (d,), "to_logits.1.weight": (c["num_tokens"], d)}


ARCHITECTURES = {
    "block-recurrent": BLOCK_RECURRENT,
    "fast-weights": FAST_WEIGHTS,
    "flash": Architecture(
        "FLASHTransformer of flash-pytorch",
        dict(num_tokens=int, dim=int, depth=int, group_size=256, query_key_dim=128, expansion_factor=2.0, causal=False,
             attn_dropout=0.0, norm_type="scalenorm", shift_tokens=True, laplace_attn_fn=False,
             reduce_group_non_causal_attn=True),
        dict(mask_token_shift=False, divide_by_valid_count=False), "for masked batches", dict(norm_type=("scalenorm", "layernorm")),
        dict(group_size=(1, 1 << 31), attn_dropout=(0, 1), expansion_factor=(0, 1025), gamma_std=(0, 101)), infer_flash, flash_shapes,
        initial=dict(gamma_std=0.02),
        roots=frozenset({"token_emb", "abs_pos_emb", "layers", "to_logits"}), lacking=flash_lacking,
        shared=flash_shared),
    "linformer": LINFORMER,
    "local": Architecture(
        "LocalTransformer of local-attention",
        dict(num_tokens=int, max_seq_len=int, dim=int, depth=int, causal=True, local_attn_window_size=512, dim_head=64,
             heads=8, ff_mult=4.0, attn_dropout=0.0, ff_dropout=0.0, ignore_index=-1, use_xpos=False,
             xpos_scale_base=None, use_dynamic_pos_bias=False, num_residual_streams=4, qk_rmsnorm=False, qk_scale=8.0,
             exact_windowsize=None, gate_values_per_head=False, look_backward=1, look_forward=None, shared_qk=False,
             layers_insert_global_attn=None),
        dict(true_positions=False, use_rotary_pos_emb=True), "where it is not causal", {},
        dict(local_attn_window_size=(1, 1 << 31), attn_dropout=(0, 1), ff_dropout=(0, 1), look_backward=(0, 1 << 31)),
        infer_local, local_shapes, dict(xpos_scale_base=float, exact_windowsize=bool, look_forward=int, layers_insert_global_attn=list),
        roots=frozenset({"token_emb", "pos_emb", "dynamic_pos_bias", "layers", "to_logits"})),
}
