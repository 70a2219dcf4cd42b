#!/usr/bin/env python3
"""Compares models of a peer with ours, beyond the committed fixtures. Run it with the peers' Python
(Scripts/setup-peers prints its path) after `swift build -c release`.

usage: check_parity.py MODEL [--cases 50] [--seed 0]      random configurations, weights and batches: logits, loss and
                                                          the gradient of every parameter
       check_parity.py MODEL --run FOLDER                 the weights of a run made here, loaded into the peer
                                                          (strictly): logits and loss

Both go through `Evaluate --batch`. The model fla is fast weights with the recipe of flash-linear-attention. A new architecture
adds its class to PEERS, its fixtures to MODULES, a function to DRAW and the options of our own to OWN_OPTIONS; where the peer
is not simply called, a line in MADE, LOGITS, LOSS and TOKENS, and where it has other keys in NAMES.
Exit code 0 where all agree; folders of cases that do not are kept and named."""
import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

try:
    import torch
    from checkpoint_fla import our_name, peers_name
    from fixtures import block_recurrent, fast_weights, fla, flash, linformer, local
    from fixtures.common import cross_entropy
    from safetensors.torch import load_file, save_file
except ImportError as error:
    sys.exit(f"check_parity.py: {error}; run it with the Python that Scripts/setup-peers prints")

EVALUATE = pathlib.Path(__file__).resolve().parent.parent / ".build" / "release" / "Evaluate"
PEERS = {"block-recurrent": block_recurrent.BlockRecurrentTransformer, "fast-weights": fast_weights.LanguageModel,
         "fla": fla.LanguageModel, "flash": flash.FLASHTransformer, "linformer": linformer.LinformerLM,
         "local": local.LocalTransformer}
MODULES = {"block-recurrent": block_recurrent, "fast-weights": fast_weights, "fla": fla, "flash": flash,
           "linformer": linformer, "local": local}
OWN_OPTIONS = {"block-recurrent": [], "fast-weights": [], "fla": [], "flash": ["mask_token_shift", "divide_by_valid_count", "gamma_std"],
               "linformer": [], "local": ["true_positions", "use_rotary_pos_emb"]}
ARCHITECTURES = {"fla": "fast-weights"}  # the model here, where the peer has another name
# Where the peer is not simply made with its keywords, called with tokens, and given any tokens: Linformer's takes one
# length only, and is corrected; fast weights and block-recurrent transformers have options of their own, with references of
# their own, and the latter read long batches in segments, whose losses have a mean.
MADE = {"block-recurrent": block_recurrent.made, "fast-weights": fast_weights.made, "fla": fla.made,
        "linformer": linformer.made}
LOGITS = {"block-recurrent": block_recurrent.logits, "linformer": linformer.logits}
LOSS = {"block-recurrent": block_recurrent.loss}
TOKENS = {"linformer": linformer.draw_tokens}
# Our name of a peer's key, and back, where they differ.
NAMES = {"fla": (our_name, peers_name)}

# Both sides are float32, and sums are ordered differently. A gradient that is small beside the file's largest is known
# less exactly: it is compared at no less than 1e-4 of that.
TOLERANCE = {"logits": 2e-4, "loss": 2e-4, "gradients": 2e-3}
SMALLEST_SHARE = 1e-4
# Some draws are worse conditioned than that (streams of a hyper-connection that nearly cancel, sums over all tokens that
# do): there the peer in double precision decides. Ours may be off from it by twice what the peer's own float32 is, or what
# it changes by where its weights are rounded otherwise to float32, the most of so many draws.
ROUNDINGS = 8


def draw_flash(r):
    """A configuration flash-pytorch accepts, a batch size and a length."""
    config = dict(
        num_tokens=r.randint(2, 80), dim=2 * r.randint(4, 20), depth=r.randint(1, 3),
        causal=r.choice([True, True, False]), group_size=r.randint(1, 30),
        query_key_dim=r.choice([2 * r.randint(2, 16), r.randint(32, 50)]),
        expansion_factor=r.choice([0.5, 1, 1.5, 2, 2.5]), norm_type=r.choice(list(flash.NORMS)),
        shift_tokens=r.choice([True, False]), laplace_attn_fn=r.choice([True, False]),
        reduce_group_non_causal_attn=r.choice([True, False]))
    return config, r.randint(1, 4), r.randint(1, 90)


def draw_local(r):
    """A configuration local-attention accepts and does as it is meant, a batch size and a length."""
    config = dict(
        num_tokens=r.randint(2, 80), max_seq_len=96, dim=r.randint(4, 32), depth=r.randint(1, 3),
        causal=r.choice([True, True, False]), local_attn_window_size=r.randint(1, 20), dim_head=2 * r.randint(1, 8),
        heads=r.randint(1, 4), ff_mult=r.choice([1, 2, 4]), num_residual_streams=r.choice([1, 2, 3, 4, 4, 5]),
        qk_rmsnorm=r.choice([True, False]), qk_scale=r.choice([1, 4, 8]), gate_values_per_head=r.choice([True, False]),
        exact_windowsize=r.choice([None, True, False]), shared_qk=r.random() < 0.2,
        ignore_index=r.choice([-1, -1, r.randint(0, 1)]), look_backward=r.choice([0, 1, 1, 2, 3]))
    window = config["local_attn_window_size"]
    if not config["causal"]:
        config["look_forward"] = r.choice([None, 0, 1, 2])
    positions = r.choice(["rotary", "xpos", "dynamic"])
    if positions == "xpos" and window > 1:  # the default base is half a window, at least 1
        config |= dict(use_xpos=True, xpos_scale_base=r.choice([None, 8, 64]))
    if positions == "dynamic":  # the peer's bias is of two windows of keys, the second of which is the queries' own
        config |= dict(use_dynamic_pos_bias=True, look_backward=1, dim_head=r.randint(1, 16))
        config |= {} if config["causal"] else dict(look_forward=0)
    # Where it is not causal the peer attends its own padding: no padding there.
    length = r.randint(1, 96) if config["causal"] else window * r.randint(1, 96 // window)
    return config, r.randint(1, 4), length


def draw_linformer(r):
    """A configuration of a language model or of an encoder with decoder, a batch size and a length: all that the peer
    accepts or is corrected for (fixtures/linformer_corrected.py)."""
    if r.random() < 0.25:
        return draw_linformer_enc_dec(r)
    config = dict(num_tokens=r.randint(2, 60), **linformer_layers(r), causal=r.choice([False, True, "compatible"]))
    return config, r.randint(1, 4), r.choice([config["input_size"], r.randint(1, config["input_size"])])


def draw_linformer_enc_dec(r):
    tokens = r.randint(3, 40)
    encoder, decoder = linformer_layers(r), linformer_layers(r, is_decoder=True)
    if decoder["method"] == "convolution":  # of the encoder's tokens too
        decoder["dim_k"] = r.randint(1, min(encoder["input_size"], decoder["input_size"]))
    shared = {key: (encoder.pop(key), decoder.pop(key))[0] for key in ("activation", "checkpoint_level")}
    config = dict(enc_num_tokens=tokens, dec_num_tokens=tokens, start_token=tokens - 1, **shared,
                  dec_causal=r.choice([True, True, "compatible"]), **{"enc_" + k: v for k, v in encoder.items()},
                  **{"dec_" + k: v for k, v in decoder.items()})
    return config, r.randint(1, 3), r.randint(2, 2 * min(encoder["input_size"], decoder["input_size"]))


def linformer_layers(r, is_decoder=False):
    """Widths begin at 3: the norm of two columns is ±1, and gradients before it are rounding."""
    heads, n = r.randint(1, 4), r.randint(1, 30)
    config = dict(
        input_size=n, channels=heads * r.randint({1: 3, 2: 2}.get(heads, 1), 8), dim_k=r.randint(1, n + 4), dim_ff=r.randint(1, 40), nhead=heads,
        depth=r.randint(1, 3), activation=r.choice(["gelu", "relu"]), checkpoint_level=r.choice(["C0", "C1", "C2"]),
        parameter_sharing=r.choice(["none", "headwise", "kv", "layerwise"]), full_attention=r.random() < 0.25,
        include_ff=r.random() < 0.85, method=r.choice(["learnable", "learnable", "convolution", "no_params"]),
        dim_d=r.choice([None, None, r.randint(1, 9)]), w_o_intermediate_dim=r.choice([None, None, r.randint(1, 20)]),
        emb_dim=r.choice([None, None, r.randint(1, 24)]), use_pos_emb=r.random() < 0.9)
    if config["method"] == "convolution":
        config["dim_k"] = r.randint(1, n)
    if config["method"] != "convolution" or config["parameter_sharing"] != "layerwise":
        config["k_reduce_by_layer"] = r.choice([0, 0, r.randint(1, 4)])
    if config["include_ff"] and not is_decoder:
        config["ff_intermediate"] = r.choice([None, None, r.randint(3, 24)])
    return config


def draw_fast_weights(r):
    """A configuration of labml-nn's model, wider than it is used, a batch size and a length; in a third of the cases with
    options of ours, which loops over tokens in double precision are the reference of."""
    heads = r.randint(1, 5)
    columns = r.randint({1: 3, 2: 2}.get(heads, 1), 11)  # widths begin at 3: the norm of two columns is ±1
    config = dict(n_vocab=r.randint(2, 80), d_model=heads * columns, heads=heads, nu=r.randint(1, min(4, 2 * columns - 1)),
                  d_ff=r.randint(1, 50), n_layers=r.randint(1, 3), dropout=r.choice([0.0, 0.3]),
                  gated_feed_forward=r.random() < 0.3)
    if r.random() < 1 / 3:
        config |= fast_weights.draw_own(r)
    return config, r.randint(1, 4), r.choice([r.randint(1, 40), r.randint(1, 150), r.randint(150, 400)])


def draw_fla(r):
    """A configuration of a form of flash-linear-attention's layers, a batch size and a length."""
    heads = r.randint(1, 4)
    columns = r.randint({1: 3, 2: 2}.get(heads, 1), 11)
    options = dict(
        vocab_size=r.randint(2, 60), hidden_size=heads * columns, num_heads=heads, intermediate_size=r.randint(1, 40),
        num_hidden_layers=r.randint(1, 3), conv_size=r.randint(2, 5),
        qk_activation=r.choice(["silu", "silu", "relu", "elu", "identity"]), use_beta=r.random() < 0.85,
        use_gate=r.random() < 0.5, has_decay=r.random() < 0.6,
        rule=r.choice(["delta", "delta", "delta", "sum"]), norm_eps=r.choice([1e-6, 1e-5, 1e-3]))
    options["allow_neg_eigval"] = options["use_beta"] and r.random() < 0.5
    return fla.configuration(options), r.randint(1, 4), r.choice([r.randint(1, 40), r.randint(1, 150), r.randint(150, 400)])


def draw_block_recurrent(r):
    """A configuration that block-recurrent-transformer-pytorch accepts, a batch size and a length of one to four segments, of
    which the last may end anywhere; in a third of the cases with options of ours, which have a reference token by token.
    States see two keys at least: the share of a single one is 1, and gradients of its score are rounding."""
    depth, width = r.randint(1, 4), r.choice([r.randint(2, 6), r.randint(2, 16)])
    writes = r.sample(range(1, depth + 1), r.randint(1, min(3, depth)))
    config = dict(
        num_tokens=r.randint(2, 60), dim=r.randint(3, 32), depth=depth, dim_head=2 * r.randint(1, 10), heads=r.randint(1, 5),
        all_layers_qk_rmsnorm=r.random() < 0.3, ff_mult=r.choice([1, 1.5, 2, 4]), max_seq_len=width * r.randint(1, 4),
        block_width=width, recurrent_layers=r.choice([writes, writes, writes, None, []]),
        num_state_vectors=r.choice([None, r.randint(2, 20)]),
        ignore_index=r.choice([-100, -100, r.randint(0, 1)]), use_flash_attn=r.random() < 0.2)
    if config["recurrent_layers"] and r.random() < 0.5:
        config["read_recurrent_layers"] = [r.randint(1, layer) for layer in writes]
    if r.random() < 0.4:
        config |= dict(use_compressed_mem=True, compressed_mem_factor=r.randint(1, 5))
    if r.random() < 1 / 3:
        config |= block_recurrent.draw_own(r, config)
    segments, longest = r.randint(1, 4), config["max_seq_len"]
    length = longest * segments if r.random() < 0.6 else longest * (segments - 1) + r.randint(1, longest)
    return config, r.randint(1, 3), length


DRAW = {"block-recurrent": draw_block_recurrent, "fast-weights": draw_fast_weights, "fla": draw_fla,
        "flash": draw_flash, "linformer": draw_linformer, "local": draw_local}


def evaluate(model, folder, *more):
    command = [EVALUATE, "--model", ARCHITECTURES.get(model, model), "--config", "config.json", "--weights", "weights.safetensors", "--batch",
               "batch.safetensors", "--output", "out.safetensors", *more]
    run = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    if run.returncode:
        return None, (run.stderr or run.stdout).strip().splitlines()[0]  # and not the backtrace of a crash
    return load_file(folder / "out.safetensors"), None


def difference(got, expected, floor):
    off = (got.reshape(expected.shape) - expected).abs().max().item()
    return off / max(expected.abs().max().item(), floor)


def disagreements(got, expected, in_double=None):
    """What differs, and the worst relative difference. in_double: gives what is expected in double precision, and then
    the same with weights rounded otherwise."""
    gradients = [t.abs().max().item() for key, t in expected.items() if key.startswith("gradients/")]
    floor = SMALLEST_SHARE * max(gradients, default=0) + 1e-30
    missing = [key for key, tensor in expected.items() if key not in got or got[key].numel() != tensor.numel()]
    if missing:
        return [f"{key} is missing or has another shape" for key in missing], 0.0
    more = [key for key in got.keys() - expected.keys() if got[key].any()]
    if more:
        return [f"{key} is not zero, but the peer has none" for key in sorted(more)], 0.0
    errors = {key: difference(got[key], tensor, floor) for key, tensor in expected.items()}
    tolerances = {key: TOLERANCE[key.split("/")[0]] for key in errors}
    if in_double and any(not error <= tolerances[key] for key, error in errors.items()):
        exact, *rounded = in_double()
        for key, tensor in exact.items():
            errors[key] = difference(got[key].double(), tensor, floor)
            others = [expected[key].double()] + [other[key] for other in rounded]
            tolerances[key] = max([tolerances[key]] + [2 * difference(other, tensor, floor) for other in others])
    faults = [f"{key} off by {error:.1e}" for key, error in errors.items() if not error <= tolerances[key]]
    return faults, max(errors.values())


def ours(name, key):
    return NAMES[name][0](key) if name in NAMES else key


def write_case(name, folder, config, model, tokens, targets):
    (folder / "config.json").write_text(json.dumps(config))
    weights = {ours(name, k): v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    save_file({"tokens": tokens, "targets": targets}, folder / "batch.safetensors")


def random_case(name, seed, folder):
    r = random.Random(seed)
    torch.manual_seed(seed)
    random.seed(seed)  # the peer draws a connection's first stream from it
    config, batch, length = DRAW[name](r)
    model = MODULES[name].build(PEERS[name], config).eval()
    tokens, targets = draw_batch(name, config, batch, length)
    # A mean over no target is no number, of no segment.
    step = config["max_seq_len"] if name in LOSS else length
    targets[0, ::step] = (config.get("ignore_index", -1) + 1) % vocabulary(config)
    write_case(name, folder, config, model, tokens, targets)
    expected = peer_values(name, model, config, tokens, targets)
    got, problem = evaluate(name, folder, "--gradients")
    in_double = lambda: list(double_values(name, model.double(), config, tokens, targets))
    return ([problem], 0.0) if problem else disagreements(got, expected, in_double)


def vocabulary(config):
    return next(config[key] for key in ("num_tokens", "n_vocab", "dec_num_tokens") if key in config)


def draw_batch(name, config, batch, length):
    draw = TOKENS.get(name, lambda *_: torch.randint(0, vocabulary(config), (batch, length)))
    return draw(config, batch, length), torch.randint(0, vocabulary(config), (batch, length))


def logits_of(name, model, config, tokens):
    return LOGITS[name](model, config, tokens) if name in LOGITS else model(tokens)


def loss_of(name, config, logits, targets):
    if name in LOSS:
        return LOSS[name](config, logits, targets)
    return cross_entropy(logits, targets, config.get("ignore_index", -100))


def peer_values(name, model, config, tokens, targets):
    """What the peer gives, of the precision that its parameters have."""
    model.zero_grad(set_to_none=True)
    logits = logits_of(name, model, config, tokens)
    loss = loss_of(name, config, logits, targets)
    loss.backward()
    gradients = {"gradients/" + ours(name, k): p.grad for k, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), "loss": loss.detach().reshape(1), **gradients}


def double_values(name, model, config, tokens, targets):
    """What the peer gives in double precision, then with its weights rounded otherwise to float32, again and again."""
    yield peer_values(name, model, config, tokens, targets)
    weights = [p.detach().clone() for p in model.parameters()]
    for _ in range(ROUNDINGS):
        with torch.no_grad():
            for p, w in zip(model.parameters(), weights):
                p.copy_(w * (1 + 2**-24 * torch.randn_like(w)))
        yield peer_values(name, model, config, tokens, targets)


def random_cases(name, cases, seed):
    agreed, worst = 0, 0.0
    for i in range(cases):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"parity-{name}-"))
        faults, error = random_case(name, 1000 * seed + i, folder)
        worst = max(worst, error)
        if faults:
            print(f"{folder}: " + "; ".join(faults[:4]), flush=True)
        else:
            agreed += 1
            shutil.rmtree(folder)
    print(f"{name}: {agreed} of {cases} random configurations agree, worst relative difference {worst:.1e}")
    return agreed == cases


def run_length(config):
    """Some tokens; whole windows where the peer would attend its padding; some segments where there are segments."""
    if "block_width" in config:
        return 2 * config["max_seq_len"] + config["max_seq_len"] // 2 + 1
    longest = [config[key] for key in ("max_seq_len", "input_size", "dec_input_size") if key in config]
    length = min([300, *longest])
    window = config.get("local_attn_window_size", 1)
    return length if config.get("causal", True) else max(length // window, 1) * window


def run_weights(name, run):
    saved = json.loads((run / "config.json").read_text())
    config = {k: v for k, v in saved["configuration"].items() if k not in OWN_OPTIONS[name]}
    model = (MADE[name](config) if name in MADE else PEERS[name](**config)).eval()
    theirs = NAMES[name][1] if name in NAMES else lambda key: key
    weights = {theirs(key): value for key, value in load_file(run / "weights.safetensors").items()}
    model.load_state_dict(weights, strict=True)
    tokens, targets = draw_batch(name, config, 2, run_length(config))
    with torch.no_grad():
        logits = logits_of(name, model, config, tokens)
        loss = loss_of(name, config, logits, targets)
        expected = {"logits": logits, "loss": loss.reshape(1)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_case(name, folder, config, model, tokens, targets)
        shutil.copy(run / "weights.safetensors", folder / "weights.safetensors")
        got, problem = evaluate(name, folder)
    faults, worst = ([problem], 0.0) if problem else disagreements(got, expected)
    print(f"{run}: " + ("; ".join(faults) or f"the peer gives the same logits and loss (difference {worst:.1e})"))
    return not faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", choices=sorted(PEERS))
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=pathlib.Path)
    a = parser.parse_args()
    if not EVALUATE.exists():
        sys.exit(f"check_parity.py: {EVALUATE} is missing; build it with swift build -c release")
    agrees = run_weights(a.model, a.run) if a.run else random_cases(a.model, a.cases, a.seed)
    sys.exit(0 if agrees else 1)


main()
