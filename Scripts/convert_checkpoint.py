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
adds an entry to ARCHITECTURES."""
import argparse
import json
import os
import pathlib
import re
import sys
from dataclasses import dataclass, field
from typing import Callable

try:
    import torch
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file
except ImportError as error:
    sys.exit(f"convert_checkpoint.py: {error}; run it with the Python that Scripts/setup-peers prints")


class InputError(Exception):
    """What is wrong with a file, a key or an option, in one line."""


# MARK: Architectures


@dataclass(frozen=True)
class Architecture:
    peer: str
    defaults: dict  # the peer's keywords and their defaults; a type where there is none
    own: dict  # options of ours that the peer has not, and the values at which both compute the same
    own_matters: str  # where other values of them compute something else
    choices: dict  # the values of keywords that are strings
    limits: dict  # the least value of a number, and the first that is too large
    infer: Callable  # state dict → the part of the configuration that shapes and keys say
    shapes: Callable  # configuration → the shape of every key
    optional: dict = field(default_factory=dict)  # the types of keywords whose default is None


def layer_count(state, kind):
    count = 1 + max((int(m[1]) for key in state if (m := re.match(r"layers\.(\d+)\.", key))), default=-1)
    if count == 0:
        raise InputError(f'no key begins with "layers."; expected the state dict of a {kind}')
    return count


def infer_flash(state):
    num_tokens, dim = shape(state, "token_emb.weight", 2)
    return dict(num_tokens=num_tokens, dim=dim, depth=layer_count(state, "FLASHTransformer"),
                query_key_dim=shape(state, "layers.0.to_qk.0.weight", 2)[0],
                expansion_factor=factor(shape(state, "layers.0.to_out.weight", 2)[1], dim),
                norm_type="scalenorm" if "layers.0.norm.g" in state else "layernorm")


def factor(hidden, dim):
    """A factor with int(factor * dim) == hidden: the quotient, unless rounding takes it below."""
    quotient = hidden / dim
    return quotient if int(quotient * dim) == hidden else (hidden + 0.5) / dim


def flash_shapes(c):
    d, s, e, v = c["dim"], c["query_key_dim"], int(c["expansion_factor"] * c["dim"]), c["num_tokens"]
    norm = {"g": (1,)} if c["norm_type"] == "scalenorm" else {"weight": (d,), "bias": (d,)}
    layer = {"rotary_pos_emb.freqs": (min(32, s) // 2,), "rel_pos_bias.relative_attention_bias.weight": (32, 1),
             **{f"norm.{k}": size for k, size in norm.items()},
             "to_hidden.0.weight": (2 * e, d), "to_hidden.0.bias": (2 * e,), "to_qk.0.weight": (s, d),
             "to_qk.0.bias": (s,), "qk_offset_scale.gamma": (4, s), "qk_offset_scale.beta": (4, s),
             "to_out.weight": (d, e), "to_out.bias": (d,)}
    return {"token_emb.weight": (v, d), "abs_pos_emb.scale": (1,), "abs_pos_emb.inv_freq": ((d + 1) // 2,),
            **{f"layers.{i}.{k}": size for i in range(c["depth"]) for k, size in layer.items()},
            "to_logits.0.weight": (d,), "to_logits.0.bias": (d,), "to_logits.1.weight": (v, d), "to_logits.1.bias": (v,)}


def infer_local(state):
    num_tokens, dim = shape(state, "token_emb.weight", 2)
    depth = layer_count(state, "LocalTransformer")
    attention, feed_forward = "layers.0.0.branch.", "layers.0.1.branch."
    inner = shape(state, attention + "to_out.weight", 2)[1]
    has_bias = "dynamic_pos_bias.mlp.4.bias" in state  # else every layer has its own rotary frequencies
    if has_bias:
        heads = shape(state, "dynamic_pos_bias.mlp.4.bias", 1)[0]
        dim_head = inner // max(heads, 1)
    else:
        dim_head = 2 * shape(state, attention + "attn_fn.rel_pos.inv_freq", 1)[0]
        heads = inner // max(dim_head, 1)
    streams = shape(state, "layers.0.0.static_alpha", 2)[0] if "layers.0.0.static_alpha" in state else 1
    return dict(num_tokens=num_tokens, max_seq_len=shape(state, "pos_emb.weight", 2)[0], dim=dim, depth=depth,
                dim_head=dim_head, heads=heads, use_dynamic_pos_bias=has_bias, num_residual_streams=streams,
                ff_mult=multiple(shape(state, feed_forward + "4.weight", 2)[1], dim),
                qk_rmsnorm=attention + "q_scale" in state,
                gate_values_per_head=attention + "to_v_gate.0.weight" in state)


def multiple(inner, dim):
    """A multiple with int(dim * multiple * 2 / 3) == inner: a whole number where there is one."""
    whole = [m for m in range(1, 3 * inner // max(2 * dim, 1) + 2) if int(dim * m * 2 / 3) == inner]
    return float(whole[0]) if whole else 1.5 * (inner + 0.5) / dim


def local_shapes(c):
    d, h, e, s = c["dim"], c["heads"], c["dim_head"], c["num_residual_streams"]
    inner, hidden = h * e, int(c["dim"] * c["ff_mult"] * 2 / 3)
    connection = {"static_alpha": (s, s + 1), "dynamic_alpha_fn": (d, s + 1), "dynamic_alpha_scale": (),
                  "static_beta": (s,), "dynamic_beta_fn": (d,), "dynamic_beta_scale": (),
                  "norm.gamma": (d,)} if s > 1 else {}
    attention = {"norm.weight": (d,), "norm.bias": (d,), "to_qkv.weight": (3 * inner, d), "to_out.weight": (d, inner)}
    attention |= {} if c["use_dynamic_pos_bias"] else {"attn_fn.rel_pos.inv_freq": ((e + 1) // 2,)}
    attention |= {"q_scale": (e,), "k_scale": (e,)} if c["qk_rmsnorm"] else {}
    attention |= {"to_v_gate.0.weight": (h, d), "to_v_gate.0.bias": (h,)} if c["gate_values_per_head"] else {}
    feed_forward = {"0.weight": (d,), "0.bias": (d,), "1.weight": (2 * hidden, d), "4.weight": (d, hidden)}
    layer = {f"{i}.{k}": size for i, branch in enumerate((attention, feed_forward))
             for k, size in {**connection, **{f"branch.{k}": size for k, size in branch.items()}}.items()}
    bias = {f"dynamic_pos_bias.mlp.{i}.{k}": size for i, n, m in ((0, d // 2, 1), (2, d // 2, d // 2), (4, h, d // 2))
            for k, size in (("weight", (n, m)), ("bias", (n,)))} if c["use_dynamic_pos_bias"] else {}
    return {"token_emb.weight": (c["num_tokens"], d), "pos_emb.weight": (c["max_seq_len"], d), **bias,
            **{f"layers.{i}.{k}": size for i in range(c["depth"]) for k, size in layer.items()},
            "to_logits.0.weight": (d,), "to_logits.0.bias": (d,), "to_logits.1.weight": (c["num_tokens"], d)}


ARCHITECTURES = {
    "flash": Architecture(
        "FLASHTransformer of flash-pytorch",
        dict(num_tokens=int, dim=int, depth=int, group_size=256, query_key_dim=128, expansion_factor=2.0, causal=False,
             attn_dropout=0.0, norm_type="scalenorm", shift_tokens=True, laplace_attn_fn=False,
             reduce_group_non_causal_attn=True),
        dict(mask_token_shift=False, divide_by_valid_count=False), "for masked batches", dict(norm_type=("scalenorm", "layernorm")),
        dict(group_size=(1, 1 << 31), attn_dropout=(0, 1), expansion_factor=(0, 1025)), infer_flash, flash_shapes),
    "local": Architecture(
        "LocalTransformer of local-attention",
        dict(num_tokens=int, max_seq_len=int, dim=int, depth=int, causal=True, local_attn_window_size=512, dim_head=64,
             heads=8, ff_mult=4.0, attn_dropout=0.0, ff_dropout=0.0, ignore_index=-1, use_xpos=False,
             xpos_scale_base=None, use_dynamic_pos_bias=False, num_residual_streams=4, qk_rmsnorm=False, qk_scale=8.0,
             exact_windowsize=None, gate_values_per_head=False, look_backward=1, look_forward=None, shared_qk=False,
             layers_insert_global_attn=None),
        dict(true_positions=False, use_rotary_pos_emb=True), "where it is not causal", {},
        dict(local_attn_window_size=(1, 1 << 31), attn_dropout=(0, 1), ff_dropout=(0, 1), look_backward=(0, 1 << 31)),
        infer_local, local_shapes, dict(xpos_scale_base=float, exact_windowsize=bool, look_forward=int, layers_insert_global_attn=list)),
}


def shape(state, key, dimensions):
    if key not in state:
        raise InputError(f'"{key}" is missing; found {some(state)}')
    if state[key].dim() != dimensions:
        raise InputError(f'"{key}": expected {dimensions} dimensions, found the shape {list(state[key].shape)}')
    return tuple(state[key].shape)


def some(names):
    """The first names of many."""
    names = sorted(map(str, names))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"


# MARK: Configuration


def checked(architecture, key, value, where):
    """A value of the type that the key's default has."""
    known = {**architecture.defaults, **architecture.own}
    if key not in known:
        raise InputError(f'{where}: unknown key "{key}"; expected some of {", ".join(known)}')
    if key in architecture.optional and value is None:
        return None
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
    """The whole configuration. `given`: (where from, values), the last wins; a contradiction to the shapes is an error."""
    inferred = architecture.infer(state)
    expected = architecture.shapes(inferred)
    check_shapes(state, expected, where)
    config = dict(inferred)
    for source, values in given:
        for key, value in values.items():
            config[key] = checked(architecture, key, value, source)
            if key not in inferred or config[key] == inferred[key]:
                continue
            # Several factors give the same sizes.
            if not isinstance(value, float) or architecture.shapes(inferred | {key: value}) != expected:
                raise InputError(f'{source}: "{key}" is {json.dumps(value)}, but the weights of {where} have'
                                 f" {json.dumps(inferred[key])}")
    absent = {k: v for k, v in architecture.defaults.items() if k not in config}
    return architecture.own | absent | config, absent


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
# What DataParallel, torch.compile and the peers' AutoregressiveWrapper put before every key.
PREFIXES = ("module.", "_orig_mod.", "net.")


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
    given = [(a.config, read_configuration(a.config, a.model))] if a.config else []
    config, absent = configure(architecture, state, given + [("--set", settings(a.set))], a.source)
    metadata = {"model": a.model, "configuration": json.dumps(config, sort_keys=True)}
    # Tensors that share memory are refused by safetensors: each gets its own.
    own = {key: value.clone().contiguous() for key, value in state.items()}
    write_both(a.destination, lambda path: save_file(own, path, metadata), config, a.force)
    if absent:
        values = " ".join(f"{key}={json.dumps(value)}" for key, value in absent.items())
        print(f"The weights do not say these, which have the peer's defaults (else: --set or --config): {values}")


def to_pytorch(a, architecture):
    folder = a.source.is_dir()
    source = a.source / "weights.safetensors" if folder else a.source
    state, metadata = read_weights(source)
    require_model(metadata.get("model"), a.model, source)
    given = []
    if folder:
        given = [(str(a.source / "config.json"), read_configuration(a.source / "config.json", a.model))]
    elif "configuration" in metadata:
        given = [(f"{source}, configuration", parse_json(metadata["configuration"], f"{source}, configuration"))]
    elif not a.config and (source.parent / "config.json").exists():
        given = [(str(source.parent / "config.json"), read_configuration(source.parent / "config.json", a.model))]
    if a.config:
        given.append((a.config, read_configuration(a.config, a.model)))
    config, absent = configure(architecture, state, given + [("--set", settings(a.set))], str(source))
    peers = {key: value for key, value in config.items() if key not in architecture.own}
    write_both(a.destination, lambda path: torch.save(state, path), peers, a.force)
    for key, value in architecture.own.items():
        if config[key] != value:
            print(f"{architecture.peer} has no {key}, which is {json.dumps(config[key])} here: it computes something else"
                  f" {architecture.own_matters}")
    if absent:
        print(f"Nothing says {', '.join(absent)}: config.json has the peer's defaults (else: --set or --config)")


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
