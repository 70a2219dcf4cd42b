#!/usr/bin/env python3
"""Compares models of a peer with ours, beyond the committed fixtures. Run it with the peers' Python
(Scripts/setup-peers prints its path) after `swift build -c release`.

usage: check_parity.py flash [--cases 50] [--seed 0]      random configurations, weights and batches: logits, loss and
                                                          the gradient of every parameter
       check_parity.py flash --run FOLDER                 the weights of a run made here, loaded into the peer
                                                          (strictly): logits and loss

Both go through `Evaluate --batch`. A new architecture adds a function to DRAW and its class to PEERS.
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
    from fixtures import flash
    from safetensors.torch import load_file, save_file
except ImportError as error:
    sys.exit(f"check_parity.py: {error}; run it with the Python that Scripts/setup-peers prints")

EVALUATE = pathlib.Path(__file__).resolve().parent.parent / ".build" / "release" / "Evaluate"
PEERS = {"flash": flash.FLASHTransformer}
OWN_OPTIONS = {"flash": ["mask_token_shift", "divide_by_valid_count"]}

# Both sides are float32, and sums are ordered differently. A gradient that is small beside the file's largest is known
# less exactly: it is compared at no less than 1e-4 of that.
TOLERANCE = {"logits": 2e-4, "loss": 2e-4, "gradients": 2e-3}
SMALLEST_SHARE = 1e-4


def draw_flash(r):
    """A configuration flash-pytorch accepts, a batch size and a length."""
    config = dict(
        num_tokens=r.randint(2, 80), dim=2 * r.randint(4, 20), depth=r.randint(1, 3),
        causal=r.choice([True, True, False]), group_size=r.randint(1, 30), query_key_dim=r.choice([2 * r.randint(2, 16), r.randint(32, 50)]),
        expansion_factor=r.choice([0.5, 1, 1.5, 2, 2.5]), norm_type=r.choice(list(flash.NORMS)),
        shift_tokens=r.choice([True, False]), laplace_attn_fn=r.choice([True, False]),
        reduce_group_non_causal_attn=r.choice([True, False]))
    return config, r.randint(1, 4), r.randint(1, 90)


DRAW = {"flash": draw_flash}


def evaluate(model, folder, *more):
    command = [EVALUATE, "--model", model, "--config", "config.json", "--weights", "weights.safetensors", "--batch",
               "batch.safetensors", "--output", "out.safetensors", *more]
    run = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    if run.returncode:
        return None, (run.stderr or run.stdout).strip()
    return load_file(folder / "out.safetensors"), None


def difference(got, expected, floor):
    off = (got.reshape(expected.shape) - expected).abs().max().item()
    return off / max(expected.abs().max().item(), floor)


def disagreements(got, expected):
    """What differs, and the worst relative difference."""
    gradients = [t.abs().max().item() for key, t in expected.items() if key.startswith("gradients/")]
    faults, worst = [], 0.0
    for key, tensor in expected.items():
        kind = key.split("/")[0]
        if key not in got or got[key].numel() != tensor.numel():
            faults.append(f"{key} is missing or has another shape")
            continue
        error = difference(got[key], tensor, SMALLEST_SHARE * max(gradients, default=0) + 1e-30)
        worst = max(worst, error)
        if not error <= TOLERANCE[kind]:
            faults.append(f"{key} off by {error:.1e}")
    return faults, worst


def write_case(folder, config, model, tokens, targets):
    (folder / "config.json").write_text(json.dumps(config))
    weights = {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    save_file({"tokens": tokens, "targets": targets}, folder / "batch.safetensors")


def random_case(name, seed, folder):
    r = random.Random(seed)
    torch.manual_seed(seed)
    config, batch, length = DRAW[name](r)
    model = flash.build(PEERS[name], config).eval()
    tokens, targets = (torch.randint(0, config["num_tokens"], (batch, length)) for _ in range(2))
    logits = model(tokens)
    loss = flash.cross_entropy(logits, targets)
    loss.backward()
    expected = {"logits": logits.detach(), "loss": loss.detach().reshape(1)}
    expected |= {"gradients/" + k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    write_case(folder, config, model, tokens, targets)
    got, problem = evaluate(name, folder, "--gradients")
    return ([problem], 0.0) if problem else disagreements(got, expected)


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


def run_weights(name, run):
    saved = json.loads((run / "config.json").read_text())
    config = {k: v for k, v in saved["configuration"].items() if k not in OWN_OPTIONS[name]}
    model = PEERS[name](**config).eval()
    model.load_state_dict(load_file(run / "weights.safetensors"), strict=True)
    tokens, targets = (torch.randint(0, config["num_tokens"], (2, 300)) for _ in range(2))
    with torch.no_grad():
        logits = model(tokens)
        expected = {"logits": logits, "loss": flash.cross_entropy(logits, targets).reshape(1)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_case(folder, config, model, tokens, targets)
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
