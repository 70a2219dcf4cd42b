"""Running the converter and the commands, and comparing what comes of them."""
import atexit
import functools
import json
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


@functools.cache
def conversion_server():
    """The process that conversions are forks of; it ends with this one."""
    server = subprocess.Popen([sys.executable, str(SCRIPTS / "conversion_server.py")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    return server


def run_converter(*arguments, folder):
    """The exit code, the standard output and the standard error of the converter."""
    server = conversion_server()
    server.stdin.write(json.dumps([str(folder), *map(str, arguments)]) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    if not answer:
        fail(f"conversion_server.py ended with {server.wait()}")
    return tuple(json.loads(answer))


def convert(model, *arguments, folder):
    code, output, errors = run_converter(model, *arguments, folder=folder)
    if code:
        fail(f"convert_checkpoint.py {model} {' '.join(map(str, arguments))} failed: {errors}")
    return output


def convert_by_command(model, *arguments, folder):
    """Converts in a process of its own, as people do."""
    return succeed(sys.executable, SCRIPTS / "convert_checkpoint.py", model, *arguments, folder=folder)


def refuses(message, *arguments, folder, model="flash"):
    code, _, errors = run_converter(model, *arguments, folder=folder)
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
