#!/usr/bin/env python3
"""Compare the recurrent layer of the authors of block-recurrent transformers with this package's reference.

usage: check_authors_cell.py MELIAD

MELIAD is a folder with google-research/meliad. Its layer (transformer/memory/transformer_layer.py) is given random parameters
and windows, and the same go through the reference of Scripts/fixtures, with which the Swift model agrees: the states after
each window, and what tokens have after attention. A line a gate: the largest difference of each. Exits with 1 above float32's
rounding.

What the options of this package do not have is done here: the norms are without means (`RMS`), and tokens do not see
themselves (`reference_pass`). The layer's own feed-forward is left out. The windows begin with a full memory: in the authors'
code a document begins with keys of zeros instead of none.

Run it with the python of the peers' environment (Scripts/setup-peers), with jax, flax, gin-config and absl-py in it as well.
"""
import argparse
import functools
import sys
import types

import numpy
import torch

from fixtures import block_recurrent as peer
from fixtures import block_recurrent_variants as reference

DIM, HEADS, COLUMNS, STATES, WINDOW, WINDOWS, BATCH = 24, 4, 6, 5, 40, 3, 2
TOLERANCE = 2e-5  # float32, outputs of size 1
CONFIG = dict(num_tokens=7, dim=DIM, depth=1, dim_head=COLUMNS, heads=HEADS, block_width=WINDOW, max_seq_len=WINDOW,
              num_state_vectors=STATES, recurrent_layers=[1], kv_heads=HEADS, learned_temperatures=True,
              all_layers_qk_rmsnorm=True, direct_write=True, relative_position_bias=True)
GATES = {"fixed": "bias", "lstm": "lstm"}


# MARK: The authors'


def authors_modules(folder):
    """Their modules; what they need of their training and of the text's reading is left out."""
    for name in ("metrics_summary", "transformer.language_model"):
        stub = types.ModuleType(name)
        stub.vshape = lambda x: None
        sys.modules[name] = stub
    sys.path.insert(0, folder)
    from transformer import nn_components
    import transformer
    transformer.language_model = sys.modules["transformer.language_model"]
    from transformer.memory import transformer_base, transformer_layer
    return nn_components, transformer_base, transformer_layer


def authors_layer(folder, gate):
    import gin
    nn, base, layer = authors_modules(folder)
    gin.clear_config()
    with gin.unlock_config():
        attended = functools.partial(nn.MLP, num_layers=1, hidden_activation=None, use_bias=False)
        forward = functools.partial(nn.MLP, num_layers=2, hidden_activation="relu", use_bias=False)
        gin.bind_parameter("transformer_base.MemTransformerBase.attn_mlp_factory", attended)
        gin.bind_parameter("transformer_base.MemTransformerBase.ffn_factory", forward)
    return layer.TransformerLayer(
        mode="test", batch_size=BATCH, embedding_size=DIM, recurrent_attention=True, num_heads=HEADS, head_size=COLUMNS,
        mlp_dim=8, window_length=WINDOW, relative_position_type="t5", recurrent_num_states=STATES,
        recurrent_gate_type=GATES[gate], recurrent_skip_ffn=True)


def drawn(parameters, random):
    """Parameters off their initial values; the last layer of the feed-forward is 0, which leaves it out."""
    import jax
    def value(path, x):
        names = [part.key for part in path]
        if "ffn" in names and "output_layer" in names:
            return numpy.zeros(x.shape, numpy.float32)
        size = {"scale": 0.2, "attention_scale": 1, "attention_scale2": 1}.get(names[-1], 0.4)
        middle = {"scale": 1, "attention_scale": 3, "attention_scale2": 3}.get(names[-1], 0)
        return (middle + size * random.standard_normal(x.shape)).astype(numpy.float32)
    return jax.tree_util.tree_map_with_path(value, parameters)


def authors_pass(layer, random, xs, memory, states):
    """Returns its parameters, the tokens after attention [b, n, m], and the states after each window."""
    import jax
    start = numpy.zeros([BATCH], bool)

    state = ((*memory, None), states)
    variables = layer.init(jax.random.PRNGKey(0), xs[:, :WINDOW], start, global_info={}, window_state=state)
    parameters = drawn(variables["params"], random)
    outputs, written = [], []
    for x in numpy.split(xs, WINDOWS, axis=1):
        y, _, state, _, _ = layer.apply({**variables, "params": parameters}, x, start, global_info={}, window_state=state)
        outputs.append(numpy.asarray(y))
        written.append(numpy.asarray(state[1]))
    return parameters, numpy.concatenate(outputs, axis=1), written


# MARK: The reference


class RMS(torch.nn.Module):
    """A norm without the mean."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * self.scale


def double(x):
    return torch.from_numpy(numpy.asarray(x, numpy.float64))


def matrix(*parts):
    """Kernels [in, out] as one weight [out, in]."""
    return torch.nn.Parameter(torch.cat([double(part["kernel"]).T for part in parts]))


def by_head(weight):
    """Columns of all heads' own, then all heads' other: those of each head together."""
    return torch.nn.Parameter(weight.unflatten(1, (2, HEADS, COLUMNS)).transpose(1, 2).flatten(1))


def reference_model(parameters, config):
    model = peer.made(config).double().eval()
    block, container = model.layers[0][0], model.layers[0][0].state_container
    own, recurrent = parameters["tbase"], parameters["recurrent_tbase"]
    tokens, states = own["_kvq"], recurrent["_kvq"]
    block.norm = RMS(double(tokens["pre_attn_layernorm"]["scale"]))
    block.to_q.weight = matrix(tokens["queries_layer"])
    block.to_kv.weight = matrix(tokens["keys_layer"], tokens["values_layer"])
    block.to_out.weight = matrix(own["post_attn_mlp"]["output_layer"])
    block.attn.temperature.data = double(tokens["attention_scale"])
    block.relative_position_bias.weight.data = double(parameters["relative_positions"]["rel_embedding"]).T
    container.q_to_state.weight = matrix(tokens["queries2_layer"])
    container.to_state_cross_attn.temperature.data = double(own["attention_scale2"])
    container.state_norm = RMS(double(states["pre_attn_layernorm"]["scale"]))
    container.state_pos_ids.data = double(states["position_embeddings"])
    container.state_to_kv.weight = matrix(states["keys_layer"], states["values_layer"])
    container.state_to_q.weight = matrix(states["queries_layer"])
    container.q_from_state.weight = matrix(states["queries2_layer"])
    container.state_self_attn.temperature.data = double(states["attention_scale"])
    container.from_state_cross_attn.temperature.data = double(recurrent["attention_scale2"])
    set_write(container, recurrent["post_attn_mlp"], config["gate"])
    return model


def set_write(container, authors, gate):
    container.to_state_out.weight = by_head(matrix(authors["output_layer"]))
    if container.to_state_out.bias is not None:
        container.to_state_out.bias.data.zero_()
    if gate == "fixed":  # theirs is the share of the old
        container.direct_gate.learned_ema_beta.data = -double(authors["gate_bias"])
        return
    gates = [authors["input_gate"], authors["forget_gate"]]
    container.direct_gate.weight = by_head(matrix(*gates))
    container.direct_gate.bias.data = torch.cat([double(part["bias"]) for part in gates])


@torch.no_grad()
def reference_pass(model, config, xs, memory, states):
    block, _ = model.layers[0]
    container = block.state_container
    attention = reference.Attention(block.attn, None, block.relative_position_bias)
    steps = torch.arange(WINDOW, 0, -1)  # how far before a token
    outputs, written, states = [], [], double(states)
    before = [double(part).flatten(2) for part in memory]
    for window in double(xs).split(WINDOW, dim=1):
        x = block.norm(window)
        keys, values = (torch.cat(parts, dim=1) for parts in zip(before, block.to_kv(x).chunk(2, dim=-1)))
        for place in range(WINDOW):
            seen = slice(place, place + WINDOW)  # before: not the token itself
            q = reference.heads_of(block.to_q(x[:, place]), HEADS)
            own = attention(q, keys[:, seen], values[:, seen], steps)
            found = reference.found(container, config, states, container.q_to_state(x[:, place]))
            outputs.append(window[:, place] + block.to_out(torch.cat([own, found], dim=-1)))
        states = reference.written(container, config, states, keys, values)
        written.append(states)
        before = [part[:, WINDOW:] for part in (keys, values)]
    return torch.stack(outputs, dim=1), written


# MARK: Comparison


def differences(folder, gate):
    random = numpy.random.default_rng(1)
    def normal(*shape):
        return random.standard_normal(shape).astype(numpy.float32)
    xs, states = normal(BATCH, WINDOWS * WINDOW, DIM), normal(BATCH, STATES, DIM)
    keys, values = normal(BATCH, WINDOW, HEADS, COLUMNS), normal(BATCH, WINDOW, HEADS, COLUMNS)
    memory = keys / numpy.linalg.norm(keys, axis=-1, keepdims=True), values
    layer = authors_layer(folder, gate)
    parameters, outputs, written = authors_pass(layer, random, xs, memory, states)
    config = peer.completed(CONFIG | dict(gate=gate))
    ours, states = reference_pass(reference_model(parameters, config), config, xs, memory, states)
    return (abs(double(outputs) - ours).max().item(),
            [abs(double(a) - b).max().item() for a, b in zip(written, states)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meliad")
    folder = parser.parse_args().meliad
    failed = False
    for gate in GATES:
        tokens, states = differences(folder, gate)
        print(f"{gate:5}  tokens {tokens:.1e}  states {', '.join(f'{x:.1e}' for x in states)}", flush=True)
        failed |= not max(tokens, *states) <= TOLERANCE
    sys.exit(failed)


if __name__ == "__main__":
    main()
