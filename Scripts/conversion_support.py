"""Running the converter and the commands, and comparing what comes of them."""
import pathlib
import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file

SCRIPTS = pathlib.Path(__file__).resolve().parent
EXECUTABLES = SCRIPTS.parent / ".build" / "release"

# Of the largest logit. Both sides are float32 and add in another order, which is worth some 1e-6; a tensor in a wrong
# place or a wrong keyword is worth more than 1e-2.
TOLERANCE = 2e-5


def fail(message):
    sys.exit(f"Scripts/check-conversion: {message}")


def run(*command, folder):
    result = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    return result.returncode, result.stdout.strip(), result.stderr.strip()


def succeed(*command, folder):
    code, output, errors = run(*command, folder=folder)
    if code:
        fail(f"{' '.join(map(str, command))} failed: {errors}")
    return output


def convert(model, *arguments, folder):
    return succeed(sys.executable, SCRIPTS / "convert_checkpoint.py", model, *arguments, folder=folder)


def refuses(message, *arguments, folder, model="flash"):
    code, _, errors = run(sys.executable, SCRIPTS / "convert_checkpoint.py", model, *arguments, folder=folder)
    if code != 1 or errors != f"convert_checkpoint.py: {message}":
        fail(f"{' '.join(map(str, arguments))} ended with {code} and said: {errors}; expected: {message}")


def peer_logits(peer, model, tokens):
    with torch.no_grad():
        return peer.logits(model.eval(), tokens)


def our_logits(tokens, *source, folder):
    save_file({"tokens": tokens, "targets": tokens.clone()}, folder / "batch.safetensors")
    succeed(EXECUTABLES / "Evaluate", *source, "--batch", "batch.safetensors", "--output", "out.safetensors",
            folder=folder)
    return load_file(folder / "out.safetensors")["logits"]


def compare(name, got, expected):
    difference = ((got - expected).abs().max() / expected.abs().max()).item()
    if not difference <= TOLERANCE:
        fail(f"{name}: the logits differ by {difference:.1e} of the largest")
    print(f"{name}: the same logits (difference {difference:.1e} of the largest)")


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def same_bits(name, got, expected):
    if got.keys() != expected.keys():
        fail(f"{name}: other keys: {sorted(got.keys() ^ expected.keys())}")
    for key, tensor in expected.items():
        same = got[key].dtype == tensor.dtype and got[key].shape == tensor.shape
        if not same or not torch.equal(bits(got[key]), bits(tensor)):
            fail(f"{name}: {key} has changed")
    print(f"{name}: not a bit has changed")
