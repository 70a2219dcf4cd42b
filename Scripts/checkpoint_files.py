"""How convert_checkpoint.py reads checkpoints: PyTorch's files and safetensors, one or several, with whatever wrappers and
trainings have put around the weights. The rules are those of Sources/NN/Weights."""
import json
import re

import torch
from safetensors import SafetensorError, safe_open

from checkpoint_base import InputError, some

# MARK: Kinds of files

FOREIGN = [(b"GGUF", "a GGUF file, as llama.cpp reads them"), (b"\x93NUMPY", "a NumPy array (.npy)"),
           (b"\x89HDF\r\n", "an HDF5 file, as Keras writes them"), (b"\x1f\x8b", "compressed with gzip: gunzip unpacks it"),
           (b"\x28\xb5\x2f\xfd", "compressed with zstd"), (b"\xfd7zXZ", "compressed with xz"), (b"BZh", "compressed with bzip2"),
           (b"7z\xbc\xaf", "a 7z archive")]
TEXTS = [("version https://git-lfs.github.com/", "a Git LFS pointer, a few lines in place of the file: git lfs pull fetches it"),
         ("<!doctype html", "an HTML page, perhaps of a download that failed"),
         ("<html", "an HTML page, perhaps of a download that failed"), ("<?xml", "an XML document"), ("{\"", "JSON text")]


def kind_of(path):
    """"torch" or "safetensors", by the first bytes, or by the suffix where they say nothing."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not head:
        raise InputError(f"{path}: is an empty file; expected a checkpoint")
    if len(head) > 8 and head[4:8] == bytes(4) and head[8] in b"{ \t\n\r":
        return "safetensors"
    if head[:4] == b"PK\3\4":
        if b".npy" in head:
            raise InputError(f"{path}: is an archive of NumPy arrays (.npz); expected a checkpoint")
        return "torch"
    if head[0] == 0x80 and 2 <= head[1] <= 5:
        return "torch"
    text = head.decode(errors="replace").lstrip("\ufeff \t\r\n").lower()
    squeezed = "".join(text.split())
    name = next((name for magic, name in FOREIGN if head.startswith(magic)), None) \
        or next((name for words, name in TEXTS if text.startswith(words) or squeezed.startswith(words)), None)
    if name:
        raise InputError(f"{path}: is {name}; expected a checkpoint")
    return "safetensors" if str(path).endswith(".safetensors") else "torch"


def first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# MARK: PyTorch's files

WRAPPINGS = ("state_dict", "model_state_dict", "model")


def read_torch(path):
    """The tensors of a state dict and lines about what it lay in."""
    found, lines, left = load_torch(path), [], set()
    while isinstance(found, dict) and (key := inner(found)) is not None:
        lines.append(f'"{key}" opened')
        left |= {str(other) for other in found if other != key}
        found = found[key]
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path}: expected a state dict, found {'an empty one' if found == {} else type(found).__name__}")
    for key, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f'{path}: "{key}" is no tensor; expected a state dict, or one under {" or ".join(WRAPPINGS)}')
    if left:
        lines.append(f"left alone: {', '.join(sorted(left))}")
    return found, lines


def inner(found):
    """The key of the state dict in a dict; None where it is one itself."""
    dicts = [key for key, value in found.items() if isinstance(value, dict) and value]
    named = next((key for key in WRAPPINGS if key in dicts), None)
    if named is not None or any(isinstance(value, torch.Tensor) for value in found.values()):
        return named
    weights = [key for key in dicts if all(isinstance(value, torch.Tensor) for value in found[key].values())]
    return weights[0] if len(weights) == 1 else None


def load_torch(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # whatever a broken file makes of the unpickler
        said = str(error)
    if "TorchScript" in said:
        raise InputError(f"{path}: is a TorchScript archive; expected what torch.save(model.state_dict(), …) makes")
    if objects := foreign_objects(path, said):
        raise InputError(f"{path}: holds {', '.join(objects[:3])}{' …' if len(objects) > 3 else ''}, which is not read, as an"
                         " object of a pickle can run code; expected tensors, numbers and words: torch.save(model.state_dict(),"
                         " …)")
    raise InputError(f"{path}: is no PyTorch checkpoint: {first_line(said)}")


def foreign_objects(path, said):
    """The classes and functions that a pickle needs and that are not read."""
    try:
        if names := torch.serialization.get_unsafe_globals_in_checkpoint(path):
            return sorted(names)
    except Exception:  # of an old or broken file, or in an old torch
        pass
    return re.findall(r"(?:GLOBAL|class|global) ([\w.]+\.\w+)", said)[:1]


# MARK: Safetensors

INDEX = ".safetensors.index.json"


def read_safetensors(path):
    """The tensors and metadata of a safetensors file, of the several that an index names, or of a folder that holds either."""
    lines, metadata, state = [], {}, {}
    files = shards(path)
    for file in files:
        tensors, its = read_file(file)
        if both := tensors.keys() & state.keys():
            raise InputError(f"{path}: several files hold {some(both)}; expected it in one")
        state |= tensors
        metadata = its | metadata
    if len(files) > 1:
        lines.append(f"read from {len(files)} files")
    filled = {key: other for key, other in metadata.items() if key not in state and other in state}
    if filled:
        state |= {key: state[other] for key, other in filled.items()}
        lines.append(shared(filled))
    return state, metadata, lines


def shared(filled):
    """A line about keys that have got the tensor of another."""
    key = min(filled)
    return f"{len(filled)} shared tensors taken from another name ({key} from {filled[key]}{', …' if len(filled) > 1 else ''})"


def read_file(path):
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or first_line(error)}") from None
    except SafetensorError as error:
        raise InputError(f"{path}: is no safetensors file: {first_line(error)}") from None


def shards(path):
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir())
        if single := next((name for name in ("model.safetensors", "weights.safetensors") if name in names), None):
            return [path / single]
        indexes = [name for name in names if name.endswith(INDEX)]
        if len(indexes) == 1:
            return shards(path / indexes[0])
        files = [name for name in names if name.endswith(".safetensors")]
        matches = [re.fullmatch(r"(.*-)(\d+)-of-(\d+)\.safetensors", name) for name in files]
        if len(files) > 1 and (None in matches or len({(m[1], m[3]) for m in matches}) != 1
                               or {int(m[2]) for m in matches} != set(range(1, 1 + int(matches[0][3])))):
            raise InputError(f"{path}: holds {len(files)} safetensors files, no index and no whole set; expected a file")
        if not files or len(indexes) > 1:
            raise InputError(f"{path}: holds no {'' if indexes else 'single '}index of safetensors files and no single one;"
                             " expected a checkpoint")
        return [path / name for name in files]
    if not path.name.endswith(".json"):
        return [path]
    try:
        places = json.loads(path.read_text())["weight_map"]
        files = {place: [key for key in places if places[key] == place] for place in sorted(set(places.values()))}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f'{path}: is no index of weights; expected "weight_map" to name the file of each tensor') from None
    for name, keys in files.items():
        if not isinstance(name, str) or "/" in name or not name.endswith(".safetensors"):
            raise InputError(f"{path}: expected the names of safetensors files beside the index, found {json.dumps(name)}")
        if not (path.parent / name).exists():
            raise InputError(f'{path}: names "{name}", which is missing; expected it beside the index')
        if lost := set(keys) - read_file(path.parent / name)[0].keys():
            raise InputError(f"{path}: says that {some(lost)} is in {name}, which does not hold it")
    return [path.parent / name for name in files]


# MARK: Names

# What Lightning, nanoGPT and others save with the weights.
BESIDE = {"optimizer", "optimizers", "optimizer_state", "optimizer_states", "optimizer_state_dict", "optim", "scheduler",
          "schedulers", "lr_scheduler", "lr_schedulers", "scheduler_state_dict", "scaler", "grad_scaler", "epoch", "step",
          "global_step", "iter", "iter_num", "iteration", "best_val_loss", "best_loss", "loss", "loops", "callbacks",
          "rng_state", "hyper_parameters", "config", "args", "ema"}


def unwrapped(state, roots):
    """The state dict without what wrappers have put before all names and no key of the model begins with (`roots`), such as
    module. (DataParallel), _orig_mod. (torch.compile), model. (Lightning), in any order; and lines about it."""
    names, prefix, left = list(state), "", set()
    best = names, prefix, left
    while (word := wrapper(names, roots)) is not None:
        left = left | {first_word(name) for name in names if first_word(name) != word}
        names = [name.removeprefix(word + ".") for name in names if name.startswith(word + ".")]
        prefix += word + "."
        # Only what leads to a key of the model is a wrapper.
        if any(first_word(name) in roots for name in names):
            best = names, prefix, left
    names, prefix, left = best
    lines = [f'"{prefix}" taken off all names'] if prefix else []
    lines += [f"left alone: {', '.join(sorted(left))}"] if left else []
    return {name: state[prefix + name] for name in names}, lines


def wrapper(names, roots):
    words = {first_word(name) for name in names}
    candidates = words - BESIDE if len(words - BESIDE) == 1 else words
    if len(candidates) != 1:
        return None
    word = next(iter(candidates))
    inside = [name for name in names if name.startswith(word + ".")]
    is_other = not inside or word + "." in inside or any(first_word(name) == word for name in set(names) - set(inside))
    return None if not word or word in roots or is_other or len(words) > 1 and word not in WRAPPINGS else word


def first_word(name):
    return name.partition(".")[0]
