#!/usr/bin/env python3
"""Turns a peer's PyTorch checkpoint into weights that Generate and Evaluate take, and back. Run it with a Python that has
torch and safetensors, such as the peers' (Scripts/setup-peers prints its path).

usage: convert_checkpoint.py MODEL model.pt FOLDER/weights.safetensors [--config FILE] [--set KEY=VALUE ...]
       convert_checkpoint.py MODEL RUN model.pt        RUN is a run folder, or a safetensors file

The suffix of the destination says the direction. config.json goes beside it: to safetensors as --config takes it, back
with the keywords of the peer's class. What the shapes of the weights say about the configuration is taken from them;
--config and --set say the rest (--set goes before --config, and both before what the weights bring along), or the peer's
defaults do, which is then printed. Nothing is overwritten without --force.

A checkpoint is a state dict, or a dict that has one as "model", "state_dict" or "model_state_dict". A new architecture
adds an entry to ARCHITECTURES (checkpoint_architectures.py)."""
import argparse
import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True
from checkpoint_architectures import ARCHITECTURES
from checkpoint_base import InputError, some

try:
    import torch
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file
except ImportError as error:
    sys.exit(f"convert_checkpoint.py: {error}; run it with the Python that Scripts/setup-peers prints")


def checked(architecture, key, value, where):
    """A value of the type that the key's default has."""
    known = {**architecture.defaults, **architecture.own}
    if key not in known:
        raise InputError(f'{where}: unknown key "{key}"; expected some of {", ".join(known)}')
    is_word = any(type(value) is type(word) and value == word for word in architecture.words.get(key, ()))
    if is_word or key in architecture.optional and value is None:
        return value
    kind = architecture.optional.get(key) or (known[key] if isinstance(known[key], type) else type(known[key]))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", list: "a list"}
        raise InputError(f'{where}: "{key}": expected {names[kind]}, found {json.dumps(value)}')
    if key in architecture.choices and value not in architecture.choices[key]:
        raise InputError(f'{where}: "{key}": expected {" or ".join(architecture.choices[key])}, found {json.dumps(value)}')
    low, high = architecture.limits.get(key, (value, None))
    if high is not None and not low <= value < high:
        raise InputError(f'{where}: "{key}": expected at least {low} and less than {high}, found {json.dumps(value)}')
    return value


def parse_json(text, where):
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object with the keywords of the model")
    return value


def read_configuration(path, model):
    """A configuration as --config takes it, or that of a run folder's config.json."""
    try:
        found = parse_json(pathlib.Path(path).read_text(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if isinstance(found.get("configuration"), dict):
        require_model(found.get("model"), model, path)
        return found["configuration"]
    return found


def require_model(found, model, where):
    if found is not None and found != model:
        raise InputError(f'{where}: holds a model "{found}"; expected "{model}"')


def settings(words):
    values = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"--set: expected KEY=VALUE, found {word}")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    return values


def configure(architecture, state, given, where):
    """The whole configuration, what the weights do not say of it, and what they do. `given`: (where from, values), the last
    wins; a contradiction to the shapes is an error."""
    given = [(source, key, checked(architecture, key, value, source)) for source, values in given
             for key, value in values.items()]
    try:
        inferred = architecture.infer(state, {key: value for _, key, value in given})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    expected = architecture.shapes(inferred)
    check_shapes(state, expected, where)
    config = dict(inferred)
    for source, key, value in given:
        config[key] = value
        if key not in inferred or value == inferred[key]:
            continue
        # Several values give the same sizes.
        is_open = isinstance(value, float) or key in architecture.ambiguous
        if not is_open or architecture.shapes(inferred | {key: value}) != expected:
            raise InputError(f'{source}: "{key}" is {json.dumps(value)}, but the weights of {where} have'
                             f" {json.dumps(inferred[key])}")
    absent = {k: v for k, v in architecture.defaults.items() if k not in config}
    config = architecture.own | absent | config
    check_shapes(state, architecture.shapes(config), where)
    return config, absent, inferred


def check_shapes(state, expected, where):
    if missing := expected.keys() - state.keys():
        raise InputError(f"{where}: lacks {some(missing)}")
    if unknown := state.keys() - expected.keys():
        raise InputError(f"{where}: has {some(unknown)}, which such a model has not")
    for key, size in expected.items():
        if tuple(state[key].shape) != size:
            raise InputError(f'{where}: "{key}": expected the shape {list(size)}, found {list(state[key].shape)}')


# MARK: State dicts

WRAPPINGS = ("model", "state_dict", "model_state_dict")
# What DataParallel, torch.compile and the peers' AutoregressiveWrapper and RecurrentTrainerWrapper put before every key.
PREFIXES = ("module.", "_orig_mod.", "net.", "transformer.")


def read_checkpoint(path):
    try:
        with open(path, "rb"):
            pass
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # whatever a broken file makes of the unpickler
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise InputError(f"{path}: holds other objects than tensors; expected a file that torch.save has made of a"
                             " state dict") from None
        raise InputError(f"{path}: is no PyTorch checkpoint: {first_line(error)}") from None
    for key in WRAPPINGS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path}: expected a state dict, found {'an empty one' if found == {} else type(found).__name__}")
    for key, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f'{path}: "{key}" is no tensor; expected a state dict, or one under {" or ".join(WRAPPINGS)}')
    while prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in found)), None):
        found = {key.removeprefix(prefix): value for key, value in found.items()}
    return found


def first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def read_weights(path):
    """The tensors of a safetensors file, and its metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or first_line(error)}") from None
    except SafetensorError as error:
        raise InputError(f"{path}: is no safetensors file: {first_line(error)}") from None


# MARK: Files


def write(path, save):
    """All of the file or nothing."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        save(temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or first_line(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_both(destination, save, config, force):
    beside = destination.parent / "config.json"
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    for path in (destination, beside):
        if path.exists() and not force and not (path == beside and path.read_text() == text):
            raise InputError(f"{path}: exists already; expected a new file, or --force")
    if beside.exists() and isinstance(parse_json(beside.read_text(), beside).get("configuration"), dict):
        raise InputError(f"{beside}: belongs to a run; expected a destination in another folder")
    if not destination.parent.is_dir():
        raise InputError(f"{destination.parent}: is no folder; expected one to write to")
    write(beside, lambda path: path.write_text(text))
    write(destination, save)


# MARK: Directions


def to_safetensors(a, architecture):
    state = read_checkpoint(a.source)
    architecture = architecture.variant(architecture, state)
    state = architecture.rename(state)
    given = [(a.config, read_configuration(a.config, a.model))] if a.config else []
    config, absent, inferred = configure(architecture, state, given + [("--set", settings(a.set))], a.source)
    config, lines = architecture.from_peer(config, inferred)
    metadata = {"model": a.model, "configuration": json.dumps(config, sort_keys=True)}
    # Tensors that share memory are refused by safetensors: each gets its own.
    own = {key: value.clone().contiguous() for key, value in state.items()}
    write_both(a.destination, lambda path: save_file(own, path, metadata), config, a.force)
    for line in lines:
        print(line)
    if absent:
        values = " ".join(f"{key}={json.dumps(value)}" for key, value in absent.items())
        print(f"The weights do not say these, which have the peer's defaults (else: --set or --config): {values}")


def to_pytorch(a, architecture):
    folder = a.source.is_dir()
    source = a.source / "weights.safetensors" if folder else a.source
    state, metadata = read_weights(source)
    require_model(metadata.get("model"), a.model, source)
    architecture = architecture.variant(architecture, state)
    state = architecture.rename(state)
    given = []
    if folder:
        given = [(str(a.source / "config.json"), read_configuration(a.source / "config.json", a.model))]
    elif "configuration" in metadata:
        given = [(f"{source}, configuration", parse_json(metadata["configuration"], f"{source}, configuration"))]
    elif not a.config and (source.parent / "config.json").exists():
        given = [(str(source.parent / "config.json"), read_configuration(source.parent / "config.json", a.model))]
    if a.config:
        given.append((a.config, read_configuration(a.config, a.model)))
    config, absent, inferred = configure(architecture, state, given + [("--set", settings(a.set))], str(source))
    peers, lines = (architecture.to_peer or without_own(architecture))(config, inferred)
    write_both(a.destination, lambda path: torch.save(state, path), peers, a.force)
    for line in lines:
        print(line)
    if absent:
        print(f"Nothing says {', '.join(absent)}: config.json has the peer's defaults (else: --set or --config)")


def without_own(architecture):
    """Leaves out our own options, and says which matter."""
    def convert(config, _):
        lines = [f"{architecture.peer} has no {key}, which is {json.dumps(config[key])} here: it computes something else"
                 f" {architecture.own_matters}" for key, value in architecture.own.items() if config[key] != value]
        return {key: value for key, value in config.items() if key not in architecture.own}, lines
    return convert


def convert(a):
    architecture = ARCHITECTURES.get(a.model)
    if architecture is None:
        raise InputError(f'unknown model "{a.model}"; expected one of {", ".join(ARCHITECTURES)}')
    if not a.source.exists():
        raise InputError(f"{a.source}: cannot be read: No such file or directory")
    is_ours = a.source.is_dir() or a.source.suffix == ".safetensors"
    suffix = a.destination.suffix
    if suffix == ".safetensors" and not is_ours:
        to_safetensors(a, architecture)
    elif suffix in (".pt", ".pth") and is_ours:
        to_pytorch(a, architecture)
    else:
        raise InputError(f"{a.destination}: expected a destination that ends in"
                         f" {'.pt, as the source is a run folder or safetensors' if is_ours else '.safetensors'}")
    print(f"{a.destination} and {a.destination.parent / 'config.json'} are written.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help=", ".join(ARCHITECTURES))
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("destination", type=pathlib.Path)
    parser.add_argument("--config", help="JSON with the peer's keywords, or a run's config.json")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one keyword; may be repeated")
    parser.add_argument("--force", action="store_true", help="overwrite files that there are")
    try:
        convert(parser.parse_args())
    except InputError as error:
        sys.exit(f"convert_checkpoint.py: {error}")


main()
