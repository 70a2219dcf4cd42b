"""Checkpoints of flash-linear-attention: as it writes them, and what the converter refuses."""
import json

import torch
from conversion_peers import PEERS
from conversion_support import compare, convert, fail, our_logits, peer_logits, refuses, same_bits
from fixtures.common import move_off_initial_values
from safetensors.torch import load_file, save_file, save_model

# As flash-linear-attention writes it, with much that says nothing here.
FLA_CONFIGURATION = dict(
    model_type="delta_net", architectures=["DeltaNetForCausalLM"], vocab_size=9, hidden_size=10, num_heads=2,
    intermediate_size=None, hidden_ratio=4, num_hidden_layers=1, expand_k=1, expand_v=1, use_gate=False, use_beta=True,
    use_short_conv=True, conv_size=4, allow_neg_eigval=True, qk_norm="l2", qk_activation="relu", norm_eps=1e-3, attn=None,
    hidden_act="swish", attn_mode="chunk", fuse_norm=True, tie_word_embeddings=True, max_position_embeddings=2048,
    torch_dtype="bfloat16", transformers_version="5.6.2", bos_token_id=1, use_cache=True)


def as_fla_writes_them(folder):
    """A folder with a configuration beside the weights, whose logits have the embeddings' matrix."""
    peer = PEERS["fast-weights, delta net"]
    model = peer.kind(**peer.small, qk_activation="relu", allow_neg_eigval=True, norm_eps=1e-3)
    move_off_initial_values(model)
    model.lm_head.weight = model.model.embeddings.weight
    for name in ("pretrained", "loaded", "again", "returned"):
        (folder / name).mkdir()
    save_model(model, folder / "pretrained" / "model.safetensors")
    (folder / "pretrained" / "config.json").write_text(json.dumps(FLA_CONFIGURATION))
    convert("fast-weights", "pretrained", "loaded/weights.safetensors", folder=folder)
    tokens = torch.randint(0, 9, (3, 37))
    source = ["--model", "fast-weights", "--config", "loaded/config.json", "--weights", "loaded/weights.safetensors"]
    compare("as save_pretrained writes it", our_logits(tokens, *source, folder=folder), peer_logits(peer, model, tokens))
    convert("fast-weights", "loaded/weights.safetensors", "returned/model.pt", folder=folder)
    back = json.loads((folder / "returned" / "config.json").read_text())
    known = FLA_CONFIGURATION | dict(intermediate_size=7, tie_word_embeddings=False)
    if changed := [key for key, value in back.items() if known[key] != value]:
        fail(f"the configuration has changed there and back: {', '.join(sorted(changed))}")
    wrapped = {"module." + key: value for key, value in load_file(folder / "pretrained" / "model.safetensors").items()}
    torch.save(wrapped, folder / "wrapped.pt")
    convert("fast-weights", "wrapped.pt", "again/weights.safetensors", "--config", "pretrained/config.json", folder=folder)
    same_bits("and with a name before all others", load_file(folder / "again" / "weights.safetensors"),
              load_file(folder / "loaded" / "weights.safetensors"))


def bad_flas(folder):
    """What only checkpoints of flash-linear-attention can be."""
    small, kind = PEERS["fast-weights, delta net"].small, PEERS["fast-weights, gated delta net"].kind
    state, out, layer = kind(**small).state_dict(), "bad/weights.safetensors", "model.layers.0."
    refuse = lambda message, *arguments: refuses(message, *arguments, folder=folder, model="fast-weights")

    def save(name, change):
        torch.save(state | change if isinstance(change, dict) else {k: v for k, v in state.items() if k != change},
                   folder / name)
        return name

    refuse(f'wide.pt: "{layer}attn.v_proj.weight": 20 columns of values (expand_v, or head_dim and num_v_heads); expected as'
           " many as the model has, 10", save("wide.pt", {layer + "attn.v_proj.weight": torch.ones(20, 10)}), out)
    refuse(f'narrow.pt: "{layer}attn.q_proj.weight": 6 columns of queries (expand_k, or head_dim and num_heads); expected as'
           " many as the model has, 10", save("narrow.pt", {layer + "attn.q_proj.weight": torch.ones(6, 10)}), out)
    refuse(f"lacking.pt: lacks {layer}mlp.up_proj.weight", save("lacking.pt", layer + "mlp.up_proj.weight"), out)
    refuse(f"bare.pt: lacks {layer}attn.q_conv1d.weight: without it (use_short_conv) values pass a SiLU there, not here", save(
        "bare.pt", layer + "attn.q_conv1d.weight"), out)
    refuse(f"more.pt: has {layer}attn.q_conv1d.bias, which such a model has not here",
           save("more.pt", {layer + "attn.q_conv1d.bias": torch.ones(10)}), out)
    refuse(f"hybrid.pt: has model.layers.0.attn_res_proj.weight, which such a model has not here",
           save("hybrid.pt", {layer + "attn_res_proj.weight": torch.ones(1, 10)}), out)
    good = save("fla.pt", {})
    refuse('"norm" is "layer", but the weights are those of flash-linear-attention; expected "rms"', good, out, "--set",
           "norm=layer")
    refuse('--set: "heads" is 5, but the weights of fla.pt have 2', good, out, "--set", "heads=5")
    for key, value, message in (
            ("qk_norm", "sum", '"qk_norm" is "sum", which is not computed here; expected "l2"'),
            ("expand_v", 2.0, '"expand_v" is 2.0, which is not computed here; expected 1'),
            ("use_short_conv", False, '"use_short_conv" is false, which is not computed here; expected true'),
            ("use_beta", False, '"allow_neg_eigval" is true without "use_beta", which is not computed here; expected false'),
            ("hidden_act", "powlu", '"hidden_act" is "powlu", which is not computed here; expected "swish"'),
            ("attn", {"layers": [1]}, '"attn" is {"layers": [1]}, which is not computed here; expected null'),
            ("num_v_heads", 4, '"num_v_heads" is 4; expected as many as "num_heads", 2'),
            ("model_type", "gla", '"model_type" is "gla"; expected "delta_net" or "gated_deltanet"')):
        (folder / "fla.json").write_text(json.dumps(FLA_CONFIGURATION | {key: value}))
        refuse(f"fla.json: {message}", good, out, "--config", "fla.json")
    (folder / "fla.json").write_text(json.dumps(FLA_CONFIGURATION | dict(model_type="gated_deltanet", head_dim=4)))
    refuse('fla.json: "head_dim" is 4; expected "hidden_size" / "num_heads", that is 10 / 2', good, out, "--config",
           "fla.json")
    (folder / "ours").mkdir()
    convert("fast-weights", good, "ours/weights.safetensors", folder=folder)
    ours = load_file(folder / "ours" / "weights.safetensors")
    save_file(ours | {"generator.bias": torch.ones(9)}, folder / "ours" / "biased.safetensors")
    refuse("generator.bias is not zero, but flash-linear-attention has no biases: it computes something else",
           "ours/biased.safetensors", "bad/model.pt")
    refuse('ours/weights.safetensors: "norm" is "layer", which no peer has with the recipe; expected "rms"',
           "ours/weights.safetensors", "bad/model.pt", "--set", "norm=layer")
    (folder / "fixed").mkdir()
    save_file({k: v for k, v in ours.items() if "interpolation" not in k}, folder / "fixed" / "weights.safetensors")
    refuse('"beta" is 1.0, but GatedDeltaNetForCausalLM computes it; expected "input"', "fixed/weights.safetensors",
           "bad/model.pt")
    if list((folder / "bad").iterdir()):
        fail(f"a refused conversion has left {list((folder / 'bad').iterdir())}")
    print("bad checkpoints: one line each, and nothing written")
