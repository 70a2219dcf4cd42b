#!/usr/bin/env python3
"""Make the fixtures that the tests compare with: the published PyTorch packages run on small, odd configurations.

usage: make_fixtures.py            write the fixtures below Tests/
       make_fixtures.py --check    make them anew in a temporary folder and compare with those below Tests/
       make_fixtures.py --noise    run every case in double precision too and print how far float32 is off

Run it with the python of the peers' environment (Scripts/setup-peers makes it):
    ~/.cache/attention-zoo-peers/bin/python Scripts/make_fixtures.py
The same machine gives the same bytes again; another one sums in another order, so --check allows a small tolerance.
Each peer has its module in Scripts/fixtures/ with its table of cases; a new one is added to MODULES below.
"""
import argparse
import glob
import importlib
import importlib.metadata
import os
import sys
import tempfile

MODULES = ["flash", "local", "linformer", "gated_slots", "fast_weights", "fla", "block_recurrent", "transformer",
           "torch_layers", "optimizers"]
NEEDED = {"torch": "2.13.0", "flash-pytorch": "0.1.9", "local-attention": "1.11.2", "hyper-connections": "0.4.11",
          "linformer-pytorch": "0.19.3", "labml-nn": "0.5.1", "fla-core": "0.6.0",
          "block-recurrent-transformer-pytorch": "0.4.4", "safetensors": "0.8.0"}
TESTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests")

# Float32 sums in another order differ by some 1e-6 of the largest element; ten optimizer steps multiply that.
TOLERANCE = 1e-4
# Where sums over all tokens nearly cancel (the gradient of one scale of many weights) mostly rounding is left, some
# 1e-6 of the file's largest element: such tensors are compared on this share of it.
FLOOR = 0.02


def require_peers():
    """Stops with one line where a package is missing or has another version."""
    for package, wanted in NEEDED.items():
        try:
            found = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found = None
        if found != wanted:
            has = f"{package} {found}" if found else f"no {package}"
            sys.exit(f"make_fixtures.py: {sys.executable} has {has}, expected {package} {wanted}: run "
                     "Scripts/setup-peers, then this script with ~/.cache/attention-zoo-peers/bin/python")


def all_fixtures(dtype):
    for module in MODULES:
        yield from importlib.import_module("fixtures." + module).fixtures(dtype)


def write(folder):
    """Writes every fixture below `folder`; returns their paths and sizes."""
    import torch
    from fixtures.common import safetensors_bytes

    sizes = {}
    for fixture in all_fixtures(torch.float32):
        path = os.path.join(folder, fixture.path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        content = safetensors_bytes(fixture.tensors, fixture.metadata)
        with open(path, "wb") as file:
            file.write(content)
        sizes[fixture.path] = len(content)
    return sizes


def read(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


def difference(a, b, scale):
    """The largest |a − b| over `scale`; NaN agrees with NaN."""
    both_nan = a.isnan() & b.isnan()
    return ((a - b).abs().masked_fill(both_nan, 0).max() / scale).item() if a.numel() else 0.0


def largest(tensor):
    return tensor.nan_to_num(0).abs().max().item() if tensor.numel() else 0.0


def faults(made, committed):
    """What differs between two files, as lines."""
    (new, new_metadata), (old, old_metadata) = read(made), read(committed)
    if new_metadata != old_metadata:
        yield "other metadata"
    if new.keys() != old.keys():
        yield "other tensors: " + ", ".join(sorted(new.keys() ^ old.keys()))
    floor = floor_of(new)
    for key in sorted(new.keys() & old.keys()):
        a, b = new[key], old[key]
        if a.shape != b.shape or a.dtype != b.dtype:
            yield f"{key}: {b.dtype} {list(b.shape)} for {a.dtype} {list(a.shape)}"
        elif not a.is_floating_point():
            if not a.equal(b):
                yield f"{key}: other integers"
        elif not difference(a, b, max(largest(a), floor)) <= TOLERANCE:
            yield f"{key}: off by {difference(a, b, max(largest(a), floor)):.1e}"


def floor_of(tensors):
    return FLOOR * max([largest(t) for t in tensors.values() if t.is_floating_point()], default=1.0)


def check():
    with tempfile.TemporaryDirectory() as folder:
        paths = write(folder)
        lines = []
        for path in paths:
            committed = os.path.join(TESTS, path)
            if not os.path.exists(committed):
                lines.append(f"Tests/{path}: missing")
                continue
            lines += [f"Tests/{path}: {fault}" for fault in faults(os.path.join(folder, path), committed)]
        lines += [f"Tests/{path}: no case makes it" for path in strays(paths)]
    print("\n".join(lines) if lines else f"{len(paths)} fixtures agree")
    return bool(lines)


def strays(paths):
    """Fixture files in the folders written to that no case makes."""
    for folder in sorted({os.path.dirname(path) for path in paths}):
        present = glob.glob(os.path.join(TESTS, folder, "*.safetensors"))
        yield from sorted({os.path.relpath(path, TESTS) for path in present} - set(paths))


def noise():
    """Prints, for each fixture, float32's largest relative error: what a test's tolerance has to leave room for."""
    import torch

    for single, double in zip(all_fixtures(torch.float32), all_fixtures(torch.float64)):
        worst = {"output": (0.0, ""), "gradients": (0.0, "")}
        for key, exact in double.tensors.items():
            if exact.is_floating_point() and largest(exact):
                kind = "gradients" if "gradients/" in key else "output"
                scale = max(largest(exact), floor_of(double.tensors))
                worst[kind] = max(worst[kind], (difference(single.tensors[key].double(), exact, scale), key))
        print(os.path.basename(single.path) + "".join(f"  {error:.0e} {key}" for error, key in worst.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true")
    mode.add_argument("--noise", action="store_true")
    arguments = parser.parse_args()
    require_peers()
    import torch

    torch.set_num_threads(1)  # the order of sums, and so the bytes, must not depend on the machine's cores
    torch.use_deterministic_algorithms(True)
    if arguments.check:
        sys.exit(check())
    if arguments.noise:
        return noise()
    sizes = write(TESTS)
    print(f"{len(sizes)} fixtures, {sum(sizes.values()) / 1000:.0f} KB, below {TESTS}")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
