"""The peers' classes and checkpoints that check_conversion.py converts: everything that shapes do not say is off its default
in one of them."""
from dataclasses import dataclass, field
from typing import Callable

import torch
from fixtures import block_recurrent
from fixtures.fast_weights import LanguageModel
from fixtures.fla_layers import OPTIONS as FLA_OPTIONS
from fixtures.fla_layers import delta_net, gated_delta_net
from flash_pytorch import FLASHTransformer
from linformer_pytorch import LinformerEncDec, LinformerLM
from local_attention import LocalTransformer


@dataclass(frozen=True)
class Peer:
    kind: Callable  # keywords → model
    # What wraps a checkpoint, what stands before its keys, and the model's keywords. Everything that shapes do not say is
    # off its default in one of them.
    checkpoints: list
    inferred: set  # keywords that shapes and keys say
    defaults: str  # said of good.pt, whose keywords are `small`
    small: dict
    model: str | None = None  # the id here, where it is not the name in PEERS
    train: list | None = field(default_factory=list)  # further options of the run made here; None for no run
    length: Callable = lambda config: 37  # of the tokens
    ours: Callable = lambda config: {}  # keywords that differ here from the peer's, and our own
    tokens: Callable = lambda config, shape: torch.randint(0, config["num_tokens"], shape)
    logits: Callable = lambda model, tokens: model(tokens)


def source_and_target(config, shape):
    """As many tokens, the first of which in the target begins it: the last of the vocabulary."""
    tokens = torch.randint(0, config["dec_num_tokens"] - 1, shape)
    tokens[:, shape[1] // 2] = config["dec_num_tokens"] - 1
    return tokens


def target_logits(model, tokens):
    """Of a source zeros."""
    source, target = tokens.chunk(2, dim=1)
    logits = model(source, target)
    return torch.cat([torch.zeros_like(logits), logits], dim=1)


FLA_SIZES = dict(vocab_size=9, hidden_size=10, num_heads=2, intermediate_size=7, num_hidden_layers=1)


def fla(kind, checkpoints):
    """A class of flash-linear-attention, whose keywords are named otherwise here."""
    return Peer(kind, checkpoints, set(FLA_OPTIONS), 'qk_activation="silu" beta_range=1 norm_eps=1e-06', FLA_SIZES,
                model="fast-weights", train=None, ours=fla_options,
                tokens=lambda config, shape: torch.randint(0, config["vocab_size"], shape))


def fla_options(config):
    """What the weights do not say, by our keywords."""
    return dict(qk_activation=config.get("qk_activation", "silu"), norm_eps=config.get("norm_eps", 1e-6),
                beta_range=2 if config.get("allow_neg_eigval") else 1)


PEERS = {
    "block-recurrent": Peer(
        lambda **config: block_recurrent.made(config),
        [("model", "transformer.", dict(num_tokens=11, dim=12, depth=3, dim_head=4, heads=2, max_seq_len=20, block_width=10)),
         ("state_dict", "module.", dict(num_tokens=9, dim=10, depth=3, dim_head=6, heads=3, ff_mult=2, max_seq_len=24,
          block_width=6, num_state_vectors=5, recurrent_layers=[3, 2], read_recurrent_layers=[1, 1], ignore_index=2,
          use_compressed_mem=True, compressed_mem_factor=3)),
         ("model_state_dict", "module.transformer.", dict(num_tokens=8, dim=14, depth=4, dim_head=4, heads=1, max_seq_len=14,
          block_width=7, num_state_vectors=7, recurrent_layers=[1, 4], all_layers_qk_rmsnorm=True)),
         ("model", "", dict(num_tokens=8, dim=10, depth=2, dim_head=4, heads=3, max_seq_len=12, block_width=4,
          recurrent_layers=[])),
         (None, "_orig_mod.", dict(num_tokens=30, dim=16, depth=3, dim_head=8, heads=2, ff_mult=1, max_seq_len=16,
          block_width=16, num_state_vectors=3, recurrent_layers=[2, 3], read_recurrent_layers=[2, 1]))],
        {"num_tokens", "dim", "depth", "dim_head", "heads", "ff_mult", "all_layers_qk_rmsnorm", "num_state_vectors",
         "use_compressed_mem", "compressed_mem_factor"},
        "max_seq_len=1024 block_width=512 ignore_index=-100", dict(num_tokens=9, dim=10, depth=2, dim_head=4, heads=2,
                                                                   num_state_vectors=3),
        length=lambda config: 2 * config["max_seq_len"] + 3,
        logits=lambda model, tokens: block_recurrent.logits(model, dict(max_seq_len=model.max_seq_len), tokens)),
    "fast-weights": Peer(
        LanguageModel,
        [("state_dict", "", dict(n_vocab=11, d_model=12, heads=3, d_ff=14, n_layers=2)),
         ("model", "module.", dict(n_vocab=9, d_model=10, heads=2, d_ff=7, n_layers=3, nu=2, dropout=0.1)),
         (None, "_orig_mod.", dict(n_vocab=30, d_model=15, heads=5, d_ff=16, n_layers=1, nu=3,
          gated_feed_forward=True))],
        {"n_vocab", "d_model", "heads", "d_ff", "n_layers", "gated_feed_forward"},
        "nu=1 dropout=0.0", dict(n_vocab=9, d_model=10, heads=2, d_ff=7, n_layers=1),
        tokens=lambda config, shape: torch.randint(0, config["n_vocab"], shape)),
    "fast-weights, delta net": fla(delta_net, [
        ("state_dict", "", FLA_SIZES | dict(num_hidden_layers=2)),
        ("model", "module.", FLA_SIZES | dict(qk_activation="elu", allow_neg_eigval=True, use_gate=True, conv_size=3)),
        (None, "_orig_mod.", FLA_SIZES | dict(hidden_size=15, num_heads=5, qk_activation="relu", use_beta=False)),
        ("model_state_dict", "module._orig_mod.", FLA_SIZES | dict(
            qk_activation="identity", norm_eps=1e-4, conv_size=1, num_hidden_layers=3))]),
    "fast-weights, gated delta net": fla(gated_delta_net, [
        ("state_dict", "", FLA_SIZES | dict(num_hidden_layers=2)),
        ("model", "module.", FLA_SIZES | dict(allow_neg_eigval=True, use_gate=False, conv_size=2, norm_eps=1e-5)),
        (None, "", FLA_SIZES | dict(hidden_size=12, num_heads=3, conv_size=5))]),
    "flash": Peer(
        FLASHTransformer,
        [("state_dict", "", dict(num_tokens=11, dim=12, depth=2)),
         ("model", "module.", dict(num_tokens=9, dim=10, depth=3, causal=True, group_size=5, query_key_dim=36,
          expansion_factor=1.5, norm_type="layernorm", shift_tokens=False, laplace_attn_fn=True, attn_dropout=0.1)),
         ("model_state_dict", "module.net.", dict(num_tokens=8, dim=14, depth=1, group_size=4, query_key_dim=6,
          expansion_factor=0.7, reduce_group_non_causal_attn=False)),
         (None, "_orig_mod.", dict(num_tokens=30, dim=16, depth=2, causal=True, group_size=16))],
        {"num_tokens", "dim", "depth", "query_key_dim", "expansion_factor", "norm_type"},
        "group_size=256 causal=false attn_dropout=0.0 shift_tokens=true laplace_attn_fn=false",
        dict(num_tokens=9, dim=10, depth=1)),
    "linformer": Peer(
        LinformerLM,
        [("state_dict", "", dict(num_tokens=11, input_size=37, channels=12, dim_k=7)),
         ("model", "module.", dict(num_tokens=9, input_size=30, channels=10, dim_k=8, dim_ff=14, dim_d=3, dropout_ff=0.2,
          dropout_tokens=0.3, nhead=3, depth=3, ff_intermediate=6, dropout=0.25, activation="relu",
          parameter_sharing="headwise", k_reduce_by_layer=2, w_o_intermediate_dim=5, emb_dim=8)),
         ("model_state_dict", "module.", dict(num_tokens=8, input_size=24, channels=8, dim_k=8, method="convolution",
          parameter_sharing="none", causal=True, include_ff=False, checkpoint_level="C1")),
         (None, "_orig_mod.", dict(num_tokens=30, input_size=16, channels=16, dim_k=5, dim_ff=9, parameter_sharing="kv",
          full_attention=True, causal=True, nhead=2)),
         ("model", "", dict(num_tokens=12, input_size=20, channels=6, dim_k=20, nhead=2, causal=True))],
        {"num_tokens", "input_size", "channels", "dim_k", "dim_ff", "dim_d", "nhead", "depth", "ff_intermediate",
         "include_ff", "parameter_sharing", "k_reduce_by_layer", "w_o_intermediate_dim", "emb_dim"},
        "dropout_ff=0.1 dropout=0.05 k_reduce_by_layer=0 full_attention=false activation=\"gelu\" checkpoint_level=\"C0\"",
        dict(num_tokens=9, input_size=8, channels=8, dim_k=3), train=["--objective", "masked"],
        length=lambda config: config["input_size"],
        ours=lambda config: ({"causal": "compatible"} if config.get("causal") and not config.get("full_attention") else {})
        | ({key: config[key] for key in ("input_size", "dim_k")} if config.get("method") == "convolution" else {})),
    "linformer, encoder and decoder": Peer(
        LinformerEncDec,
        [("state_dict", "", dict(enc_num_tokens=11, enc_input_size=9, enc_channels=8, dec_num_tokens=11, dec_input_size=9,
          dec_channels=8, enc_dim_k=5, dec_dim_k=4)),
         ("model", "module.", dict(enc_num_tokens=13, enc_input_size=14, enc_channels=10, dec_num_tokens=13,
          dec_input_size=14, dec_channels=12, enc_dim_k=5, enc_dim_ff=6, enc_dim_d=3, enc_ff_intermediate=8, enc_nhead=2,
          enc_depth=3, enc_parameter_sharing="none", enc_emb_dim=12, dec_dim_k=7, dec_dim_ff=9, dec_dim_d=5, dec_nhead=3,
          dec_depth=2, dec_parameter_sharing="kv", dec_w_o_intermediate_dim=4, dec_emb_dim=6, dec_method="convolution",
          enc_full_attention=True, dec_dropout=0.2, enc_dropout_ff=0.3, activation="relu"))],
        {prefix + key for prefix in ("enc_", "dec_") for key in (
            "num_tokens", "input_size", "channels", "dim_k", "dim_ff", "dim_d", "nhead", "depth", "ff_intermediate",
            "parameter_sharing", "w_o_intermediate_dim", "emb_dim")},
        "enc_dropout_ff=0.1 enc_dropout=0.05 enc_k_reduce_by_layer=0 enc_full_attention=false dec_dropout_ff=0.1",
        dict(enc_num_tokens=9, enc_input_size=8, enc_channels=8, enc_dim_k=3, dec_num_tokens=9, dec_input_size=8,
             dec_channels=8, dec_dim_k=3),
        model="linformer", train=None, length=lambda config: 2 * config["enc_input_size"],
        ours=lambda config: dict(start_token=config["dec_num_tokens"] - 1)
        | ({"dec_" + key: config["dec_" + key] for key in ("input_size", "dim_k")}
           if config.get("dec_method") == "convolution" else {}),
        tokens=source_and_target, logits=target_logits),
    "local": Peer(
        LocalTransformer,
        [("state_dict", "", dict(num_tokens=11, max_seq_len=40, dim=12, depth=2)),
         ("model", "module.", dict(num_tokens=9, max_seq_len=40, dim=10, depth=3, local_attn_window_size=5, dim_head=6,
          heads=3, ff_mult=2, use_xpos=True, xpos_scale_base=9, num_residual_streams=2, look_backward=2,
          exact_windowsize=False, attn_dropout=0.1, ff_dropout=0.2, ignore_index=-100)),
         ("model_state_dict", "module.net.", dict(num_tokens=8, max_seq_len=37, dim=9, depth=1, dim_head=5, heads=2,
          causal=False, local_attn_window_size=37, look_forward=0, use_dynamic_pos_bias=True)),
         (None, "_orig_mod.", dict(num_tokens=30, max_seq_len=64, dim=16, depth=2, dim_head=4, heads=2,
          num_residual_streams=1, qk_rmsnorm=True, qk_scale=5, gate_values_per_head=True, shared_qk=True,
          local_attn_window_size=8))],
        {"num_tokens", "max_seq_len", "dim", "depth", "dim_head", "heads", "ff_mult", "num_residual_streams",
         "qk_rmsnorm", "gate_values_per_head", "use_dynamic_pos_bias"},
        "causal=true local_attn_window_size=512 attn_dropout=0.0 ff_dropout=0.0 ignore_index=-1 use_xpos=false",
        dict(num_tokens=9, max_seq_len=20, dim=10, depth=1)),
}
