#!/usr/bin/env python3
"""Time a published PyTorch package on the reference configuration (that of the package's own training script).

usage: bench_peers.py train MODEL    [--threads 2] [--set KEY=VALUE] [--dtype bf16] [--compile] [--steps 3]
                                     [--sequence-length N] [--batch-size B]
       bench_peers.py generate MODEL [--threads 2] [--set KEY=VALUE] [--dtype bf16] [--prompt-length 512] [--length 64]

Prints one JSON object. train: a step is forward, backward, clipping at 0.5 and Adam, in float32 (or, with --dtype bf16,
under autocast to bfloat16); the fastest of --steps after a warm-up. --compile has torch.compile translate the model first
and warms up twice; where it cannot, the object has one key, "does_not_compile". generate: the most likely token, again and again, the prompt not counted: with the package's own
generation where it has one that keeps what it has read, else each from a run over the whole sequence so far.
linformer-pytorch has none: its model takes sequences of one length only, and its reference is not causal. --set
gives the model another keyword than the reference configuration (a JSON value, or a word). Run it with the python of
the peers' environment (Scripts/setup-peers).
"""
import argparse
import json
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable


@dataclass
class Peer:
    """A package's model with what differs from package to package."""

    package: str
    model: Any
    loss: Callable  # (tokens, targets [batch, n]) -> scalar
    next_logits: Callable | None  # tokens [batch, n] -> logits of the token that follows [batch, vocabulary]
    vocabulary: int
    batch: int
    sequence: int
    generate: Callable | None = None  # (prompt [1, n], length) -> tokens, where the package does it token by token


# MARK: The peers. A new one is a function (most tokens in a row or None, keywords that differ from the reference's)
# that imports its package and returns a Peer, and a line in PEERS.


def flash(length, settings):
    from flash_pytorch import FLASHTransformer

    model = FLASHTransformer(**dict(num_tokens=256, dim=512, depth=8, causal=True, group_size=256, shift_tokens=True,
                                    laplace_attn_fn=True) | settings)
    return Peer("flash-pytorch", model, loss=lambda tokens, targets: cross_entropy(model(tokens), targets),
                next_logits=lambda tokens: model(tokens)[:, -1], vocabulary=256, batch=4, sequence=1024)


def local(length, settings):
    from local_attention import LocalTransformer

    sequence = 2048
    model = LocalTransformer(**dict(num_tokens=256, dim=512, depth=6, causal=True, local_attn_window_size=256,
                                    max_seq_len=length or sequence, use_dynamic_pos_bias=True) | settings)
    return Peer("local-attention", model, loss=lambda tokens, targets: cross_entropy(model(tokens), targets),
                next_logits=lambda tokens: model(tokens)[:, -1], vocabulary=256, batch=4, sequence=sequence,
                generate=lambda prompt, length: model.generate(prompt, length, temperature=0.0))


def linformer(length, settings):
    from linformer_pytorch import LinformerLM

    sequence = 1024
    model = LinformerLM(**dict(num_tokens=256, input_size=length or sequence, channels=512, dim_k=128, dim_ff=2048,
                               nhead=8, depth=6, dropout=0.0, dropout_ff=0.0, dropout_tokens=0.0) | settings)
    return Peer("linformer-pytorch", model, loss=lambda tokens, targets: cross_entropy(model(tokens), targets),
                next_logits=None, vocabulary=256, batch=4, sequence=sequence)


def fast_weights(length, settings):
    from fixtures.fast_weights import LanguageModel

    model = LanguageModel(**dict(n_vocab=65) | settings)
    return Peer("labml-nn", model, loss=lambda tokens, targets: cross_entropy(model(tokens), targets),
                next_logits=lambda tokens: model(tokens)[:, -1], vocabulary=65, batch=16, sequence=128)


def block_recurrent(length, settings):
    """With PyTorch's fused attention, which is the faster. Training rows are whole segments of 1024 tokens; a prompt is less."""
    import torch
    from block_recurrent_transformer_pytorch import BlockRecurrentTransformer, RecurrentTrainerWrapper

    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    model = RecurrentTrainerWrapper(BlockRecurrentTransformer(**dict(
        num_tokens=256, dim=512, depth=6, dim_head=64, heads=8, max_seq_len=1024, block_width=512, num_state_vectors=512,
        recurrent_layers=(4,), use_flash_attn=True) | settings))
    # Temperature 0 divides the logits by 1e-10, so that the noise added to them decides nothing.
    generate = lambda prompt, length: model.generate(prompt, prompt.shape[1] + length, temperature=0.0)
    return Peer("block-recurrent-transformer-pytorch", model, next_logits=None, vocabulary=256, batch=4, sequence=2048,
                loss=lambda tokens, targets: model(torch.cat([tokens, targets[:, -1:]], dim=1)), generate=generate)


PEERS = {"block-recurrent": block_recurrent, "fast-weights": fast_weights, "flash": flash, "linformer": linformer, "local": local}

# MARK: Measuring


def cross_entropy(logits, targets):
    from torch.nn import functional as F

    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


class DoesNotCompile(Exception):
    pass


def precision(options):
    """The context in which the model is run."""
    import contextlib
    import torch

    return torch.autocast("cpu", dtype=torch.bfloat16) if options.dtype == "bf16" else contextlib.nullcontext()


def train(peer, options):
    import torch

    batch, length = options.batch_size or peer.batch, options.sequence_length or peer.sequence
    window = torch.randint(0, peer.vocabulary, (batch, length + 1))
    tokens, targets = window[:, :-1].contiguous(), window[:, 1:].contiguous()
    optimizer = torch.optim.Adam(peer.model.parameters(), lr=2e-4)
    peer.model.train()
    step = lambda: training_step(peer, optimizer, tokens, targets, options)
    if options.compile:
        peer.model.compile()
        try:
            step()
        except Exception as error:  # whatever the compiler stumbles over
            raise DoesNotCompile(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}") from error
    timings = [step() for _ in range(options.steps + 1)]
    step, forward = min(timings[1:])  # the first one warms up
    return {"batch": batch, "sequence": length, "steps": options.steps, "step_seconds": step,
            "forward_seconds": forward, "tokens_per_second": batch * length / step}


def training_step(peer, optimizer, tokens, targets, options):
    """Seconds of the whole step and of its forward pass."""
    import torch

    start = time.perf_counter()
    with precision(options):
        loss = peer.loss(tokens, targets)
    after_forward = time.perf_counter()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(peer.model.parameters(), 0.5)
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - start, after_forward - start


def generate(peer, options):
    import torch

    peer.model.eval()
    prompt = torch.randint(0, peer.vocabulary, (1, options.prompt_length))
    with torch.no_grad(), precision(options):
        timed_generation(peer, prompt, 1)  # warms up
        first = timed_generation(peer, prompt, 1)  # the prompt and one token, as every generation begins
        seconds = timed_generation(peer, prompt, 1 + options.length) - first
    return {"prompt_length": options.prompt_length, "length": options.length, "prompt_seconds": first,
            "tokens_per_second": options.length / seconds}


def timed_generation(peer, tokens, length):
    import torch

    start = time.perf_counter()
    if peer.generate:
        peer.generate(tokens, length)
    else:
        for _ in range(length):
            tokens = torch.cat([tokens, peer.next_logits(tokens).argmax(-1, keepdim=True)], dim=1)
    return time.perf_counter() - start


def peak_memory_mb():
    """The largest resident size so far; Linux counts it in KB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def setting(text):
    """KEY=VALUE, the value as JSON or else a word."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["train", "generate"])
    parser.add_argument("model", choices=sorted(PEERS))
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=positive, default=3)
    parser.add_argument("--sequence-length", type=positive)
    parser.add_argument("--batch-size", type=positive)
    parser.add_argument("--prompt-length", type=positive, default=512)
    parser.add_argument("--length", type=positive, default=64)
    return parser.parse_args()


def main():
    options = parse()
    length = options.sequence_length if options.mode == "train" else options.prompt_length + options.length + 1
    try:
        import torch

        torch.set_num_threads(options.threads)
        torch.manual_seed(0)
        peer = PEERS[options.model](length, dict(options.set))
    except ModuleNotFoundError as error:
        sys.exit(f"bench_peers.py: {sys.executable} has no {error.name}: run Scripts/setup-peers, then this script "
                 "with ~/.cache/attention-zoo-peers/bin/python")
    except (TypeError, AssertionError) as error:
        sys.exit(f"bench_peers.py: the model refuses its keywords: {error}")
    if options.mode == "generate" and not (peer.generate or peer.next_logits):
        sys.exit(f"bench_peers.py: {peer.package} does not generate")
    if options.compile and options.mode == "generate":
        sys.exit("bench_peers.py: --compile is of training; generation has a new length with every token")
    try:
        measured = (train if options.mode == "train" else generate)(peer, options)
    except DoesNotCompile as error:
        print(json.dumps({"does_not_compile": str(error)}))
        return
    parameters = sum(parameter.numel() for parameter in peer.model.parameters())
    print(json.dumps({"model": options.model, "package": peer.package, "parameters": parameters,
                      "threads": options.threads, "dtype": options.dtype, "compiled": options.compile,
                      "kernels": torch.backends.cpu.get_cpu_capability(), **measured, "peak_memory_mb": round(peak_memory_mb())}))


if __name__ == "__main__":
    main()
