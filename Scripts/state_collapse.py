#!/usr/bin/env python3
"""Print how alike the states of block-recurrent transformers are at initialization after some writes, by option.

usage: state_collapse.py [--seeds N] [--blocks N]

A line an option: the mean cosine of two states, their effective rank (exp of the entropy of their squared singular values'
shares), and how much of what random tokens read of them differs from token to token (the deviation from the mean, as a share of
its size). Means over seeds. In double precision, by the token-by-token reference of Scripts/fixtures; tokens are random.
Run it with the python of the peers' environment (Scripts/setup-peers makes it).
"""
import argparse
import math

import torch
from torch.nn import functional as F

from fixtures import block_recurrent as peer
from fixtures import block_recurrent_variants as reference

SIZE = dict(num_tokens=40, dim=64, depth=2, dim_head=16, heads=4, block_width=32, num_state_vectors=16, recurrent_layers=[1])
SHARP = dict(qk_rmsnorm_scale=16.0, state_ids_scale=3.0)
LSTM, DIRECT, HEADS = dict(gate="lstm"), dict(direct_write=True), dict(kv_heads=4)
WINDOWS, BIAS = dict(attention_window=33, state_window=64), dict(relative_position_bias=True)
TEMPERATURES = dict(learned_temperatures=True, all_layers_qk_rmsnorm=True)
AUTHORS = LSTM | DIRECT | HEADS | WINDOWS | BIAS | TEMPERATURES
EIGHT = dict(qk_rmsnorm_scale=8.0)
CASES = {
    "the peer's": {},
    "qk_rmsnorm_scale 8": EIGHT,
    "8, init_state_scale 1": EIGHT | dict(init_state_scale=1.0),
    "8, state_ids_scale 3": EIGHT | dict(state_ids_scale=3.0),
    "8, gate lstm": EIGHT | LSTM,
    "8, gate lstm, forget_bias 3": EIGHT | LSTM | dict(forget_bias=3.0),
    "8, learned_temperatures": EIGHT | TEMPERATURES,
    "8, kv_heads": EIGHT | HEADS,
    "8, direct_write": EIGHT | DIRECT,
    "8, attention_window, state_window": EIGHT | WINDOWS,
    "8, relative_position_bias": EIGHT | BIAS,
    "qk_rmsnorm_scale 16": dict(qk_rmsnorm_scale=16.0),
    "16, state_ids_scale 3": SHARP,
    "16, 3, gate lstm, forget_bias 3": SHARP | LSTM | dict(forget_bias=3.0),
    "16, 3, gate lstm, direct_write": SHARP | LSTM | DIRECT,
    "the authors', temperatures 1": AUTHORS,
    "the authors', temperatures 16, state_ids_scale 3": AUTHORS | SHARP,
}


def initialized(config, seed):
    """The reference's model as this package initializes it."""
    torch.manual_seed(seed)
    model = peer.made(config).double().eval()
    with torch.no_grad():
        for container in reference.containers_of(model):
            container.init_state.mul_(config["init_state_scale"] / 0.1)
            container.state_pos_ids.mul_(config["state_ids_scale"])
            if config["direct_write"]:
                full_scale(container.to_state_out.weight, 1)
                if config["gate"] == "lstm":
                    full_scale(container.direct_gate.weight, 0.1)
                    container.direct_gate.bias.normal_(std=0.1)
    return model


def full_scale(weight, variance):
    weight.normal_(std=(variance / weight.shape[1]) ** 0.5)


def likeness(states):
    """The mean cosine of two states [s, m], and their effective rank."""
    unit, count = F.normalize(states, dim=-1), len(states)
    cosine = ((unit @ unit.T).sum() - count) / (count * (count - 1))
    squares = torch.linalg.svdvals(states) ** 2
    shares = squares[squares > 0] / squares.sum()
    return cosine.item(), math.exp(-(shares * shares.log()).sum())


def variation(container, config, states, tokens=64):
    """How much of what random tokens read differs from token to token."""
    x = F.layer_norm(torch.randn(tokens, config["dim"]).double(), (config["dim"],))
    queries = container.q_to_state(x)
    read = torch.cat([reference.found(container, config, states, query.unsqueeze(0)) for query in queries])
    return ((read - read.mean(0)).square().sum() / read.square().sum()).sqrt().item()


@torch.no_grad()
def measured(config, blocks, seed):
    model = initialized(config, seed)
    carry = reference.Carry(model, config, 1)
    tokens = torch.randint(0, config["num_tokens"], (1, blocks * config["block_width"]))
    reference.segment_logits(model, config, carry, tokens)
    states = carry.states[0]
    return *likeness(states[0]), variation(reference.containers_of(model)[0], config, states)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    width = max(map(len, CASES))
    print(f"{'':{width}}  cosine   rank  reads vary")
    for name, changes in CASES.items():
        config = peer.completed(SIZE | changes)
        rows = [measured(config, options.blocks, seed) for seed in range(options.seeds)]
        cosine, rank, varies = (sum(column) / len(rows) for column in zip(*rows))
        print(f"{name:{width}}  {cosine:6.3f}  {rank:5.2f}  {varies:10.3f}", flush=True)


if __name__ == "__main__":
    main()
