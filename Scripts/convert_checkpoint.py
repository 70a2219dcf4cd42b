#!/usr/bin/env python3
"""Turns a peer's checkpoint into weights that Generate and Evaluate take, and back. Run it with a Python that has torch and
safetensors, such as the peers' (Scripts/setup-peers prints its path).

usage: convert_checkpoint.py MODEL CHECKPOINT FOLDER/weights.safetensors [--config FILE] [--set KEY=VALUE ...]
       convert_checkpoint.py MODEL RUN model.pt|model.safetensors

CHECKPOINT is what torch.save made of a state dict, a safetensors file, the index.json of several, or their folder. RUN is a
run's folder or, for a .pt, a safetensors file from here. config.json goes beside the destination: to weights.safetensors as
--config takes it, back with the keywords of the peer's class. What the shapes of the weights say about the configuration is
taken from them; --config and --set say the rest (--set goes before --config, and both before what the weights bring along),
or the peer's defaults do, which is then printed. Nothing is overwritten without --force.

A state dict may lie in a dict, as "state_dict", "model_state_dict" or "model", its names may have module., _orig_mod., model.
or any other words before them that all share, and a tensor that several names share may be stored under one of them. What was
done about it is printed. Back to safetensors, shared tensors are stored once, as safetensors.torch.load_model wants them; a
run's own weights.safetensors, with all names, is for load_state_dict(load_file(…)). A new architecture adds an entry to
ARCHITECTURES (checkpoint_architectures.py)."""
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
    from checkpoint_files import first_line, kind_of, read_safetensors, read_torch, shared, unwrapped
    from safetensors import SafetensorError
    from safetensors.torch import save_file
except ImportError as error:
    sys.exit(f"convert_checkpoint.py: {error}; run it with the Python that Scripts/setup-peers prints")


def checked(architecture, key, value, where):
    """A value of the type that the key's default has."""
    known = {**architecture.defaults, **architecture.own, **architecture.initial}
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
    config = architecture.own | architecture.initial | absent | config
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


def read_weights(path, architecture):
    """The state dict of a checkpoint under the peer's names, all of them, in types that are read here; its metadata, the kind
    of model, and lines about what was done."""
    metadata = {}
    if path.is_dir() or path.suffix == ".json" or kind_of(path) == "safetensors":
        state, metadata, lines = read_safetensors(path)
    else:
        state, lines = read_torch(path)
    state, more = unwrapped(state, architecture.roots)
    lines += more
    architecture = architecture.variant(architecture, state)
    named = architecture.rename(state)
    if renamed := len(state.keys() - named.keys()):
        lines.append(f"{renamed} keys renamed to those of {architecture.names}")
    found, named = named, {key: readable(key, value) for key, value in named.items()}
    if widened := sorted({str(value.dtype) for key, value in found.items() if named[key] is not value}):
        lines.append(f"{' and '.join(widened)} written as float32")
    try:
        lacking = architecture.lacking(named)
    except InputError:
        lacking = {}  # another model's names, which is said later
    if lacking:
        named = named | {key: named[other] for key, other in lacking.items()}
        lines.append(shared(lacking))
    return named, metadata, architecture, lines


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


READABLE = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def to_safetensors(a, architecture):
    state, metadata, architecture, lines = read_weights(a.source, architecture)
    require_model(metadata.get("model"), a.model, a.source)
    given = [brought] if (brought := configuration_in(metadata, a.source)) else []
    given += configurations(a, architecture)
    config, absent, inferred = configure(architecture, state, given + [("--set", settings(a.set))], a.source)
    config, more = architecture.from_peer(config, inferred)
    metadata = {"model": a.model, "configuration": json.dumps(config, sort_keys=True)}
    # Tensors that share memory are refused by safetensors: each gets its own.
    own = {key: value.clone().contiguous() for key, value in state.items()}
    write_both(a.destination, lambda path: save_file(own, path, metadata), config, a.force)
    for line in lines + more:
        print(line)
    if absent:
        values = " ".join(f"{key}={json.dumps(value)}" for key, value in absent.items())
        print(f"The weights do not say these, which have the peer's defaults (else: --set or --config): {values}")


def configurations(a, architecture):
    """What --config says or, with a peer that writes one, the config.json beside the checkpoint."""
    beside = (a.source if a.source.is_dir() else a.source.parent) / "config.json"
    path = a.config or (beside if architecture.has_configuration and beside.exists() else None)
    if path is None:
        return []
    found = read_configuration(path, a.model)
    try:
        return [(str(path), architecture.keywords(found))]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def readable(key, tensor):
    """The tensor in a type that is read here."""
    if tensor.dtype in READABLE or not tensor.is_floating_point():
        return tensor
    exact = frequencies(len(tensor), tensor.dtype) if key.endswith(FREQUENCIES) and tensor.dim() == 1 else []
    return next((values for values, rounded in exact if torch.equal(rounded, tensor.float())), tensor.float())


# The constants of positions: buffers, which a model compares with its own, to the rounding of the file's type.
FREQUENCIES = ("inv_freq", "rotary_pos_emb.freqs")


def frequencies(count, dtype):
    """The series that so many frequencies may be, of an even or an odd width (linformer-pytorch's base is 100,000): exact,
    and rounded to a type."""
    for base in (10_000, 100_000):
        for width in (2 * count, 2 * count - 1):
            values = base ** -(torch.arange(count) * 2 / width)
            yield values, values.to(dtype).float()


def configuration_in(metadata, source):
    if "configuration" not in metadata:
        return None
    return f"{source}, configuration", parse_json(metadata["configuration"], f"{source}, configuration")


def to_peer(a, architecture):
    is_run = is_run_folder(a.source)
    source = a.source / "weights.safetensors" if is_run else a.source
    state, metadata, architecture, lines = read_weights(source, architecture)
    require_model(metadata.get("model"), a.model, source)
    given = []
    if is_run:
        given = [(str(a.source / "config.json"), read_configuration(a.source / "config.json", a.model))]
    elif brought := configuration_in(metadata, source):
        given = [brought]
    elif not a.config and (source.parent / "config.json").exists():
        given = [(str(source.parent / "config.json"), read_configuration(source.parent / "config.json", a.model))]
    if a.config:
        given.append((a.config, read_configuration(a.config, a.model)))
    config, absent, inferred = configure(architecture, state, given + [("--set", settings(a.set))], str(source))
    peers, more = (architecture.to_peer or without_own(architecture))(config, inferred)
    state = architecture.restore(state)
    save = lambda path: torch.save(state, path)
    if a.destination.suffix == ".safetensors":
        once, names = stored_once(state, architecture.shared(state))
        lines += [f"{len(names)} names of shared tensors left to the metadata, as load_model wants it"] if names else []
        save = lambda path: save_file(once, path, {"format": "pt", **names})
    write_both(a.destination, save, peers, a.force)
    for line in lines + more:
        print(line)
    if absent:
        print(f"Nothing says {', '.join(absent)}: config.json has the peer's defaults (else: --set or --config)")


def stored_once(state, groups):
    """The state dict with each shared tensor under its first name, and the others → that one, as save_model has it."""
    names = {key: min(group) for group in groups for key in group if key != min(group)}
    return {key: value.clone().contiguous() for key, value in state.items() if key not in names}, names


def without_own(architecture):
    """Leaves out our own options, and says which matter."""
    def convert(config, _):
        lines = [f"{architecture.peer} has no {key}, which is {json.dumps(config[key])} here: it computes something else"
                 f" {architecture.own_matters}" for key, value in architecture.own.items() if config[key] != value]
        return {key: value for key, value in config.items()
                if key not in architecture.own and key not in architecture.initial}, lines
    return convert


def is_run_folder(path):
    return path.is_dir() and (path / "weights.safetensors").exists()


def convert(a):
    architecture = ARCHITECTURES.get(a.model)
    if architecture is None:
        raise InputError(f'unknown model "{a.model}"; expected one of {", ".join(ARCHITECTURES)}')
    if not a.source.exists():
        raise InputError(f"{a.source}: cannot be read: No such file or directory")
    is_safetensors = a.source.is_dir() or a.source.suffix == ".json" or kind_of(a.source) == "safetensors"
    suffix = a.destination.suffix
    if suffix == ".safetensors":
        (to_peer if is_run_folder(a.source) else to_safetensors)(a, architecture)
    elif suffix in (".pt", ".pth") and is_safetensors:
        to_peer(a, architecture)
    else:
        raise InputError(f"{a.destination}: expected a destination that ends in"
                         f" {'.pt or .safetensors' if is_safetensors else '.safetensors'}")
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
