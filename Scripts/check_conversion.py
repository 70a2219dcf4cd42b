"""What Scripts/check-conversion runs, with the peers' Python."""
import argparse
import json
import pathlib
import tempfile
import warnings

import torch
from conversion_bad_input import bad_block_recurrents, bad_fast_weights, bad_input, bad_linformers
from conversion_fla import as_fla_writes_them, bad_flas
from conversion_peers import PEERS
from conversion_support import (
    EXECUTABLES, compare, convert, convert_by_command, fail, our_logits, peer_logits, refuses, run_converter, same_bits, succeed,
)
from fixtures.common import move_off_initial_values, seed
from fixtures.fast_weights import LanguageModel
from flash_pytorch import FLASHTransformer
from linformer_pytorch import LinformerLM
from linformer_pytorch.linformer_pytorch import LinearAttentionHead
from safetensors.torch import load_file, load_model, save_file, save_model

# Options of ours that only say how weights begin: the peer's keywords cannot carry them.
OF_THE_BEGINNING = {"projection_start", "identical_layers", "gamma_std"}


def from_here(name, folder):
    """A run made here, to the peer and back."""
    peer = PEERS[name]
    (folder / "text.txt").write_text("".join(f"{i} swans on the river, {i % 7} herons\n" for i in range(400)))
    succeed(EXECUTABLES / "Train", "--model", name, "--preset", "tiny", "--data", "text.txt", "--steps", "5",
            "--sample-every", "0", "--out", "run", *peer.train, folder=folder)
    (folder / "there").mkdir()
    (folder / "back").mkdir()
    convert_by_command(name, "run", "there/model.pt", folder=folder)
    config = json.loads((folder / "there" / "config.json").read_text())
    model = peer.kind(**config)
    model.load_state_dict(torch.load(folder / "there" / "model.pt", weights_only=True), strict=True)
    tokens = peer.tokens(config, (2, peer.length(config)))
    compare("a run in the peer", our_logits(tokens, "--run", "run", folder=folder), peer_logits(peer, model, tokens))
    convert(name, "there/model.pt", "back/weights.safetensors", "--config", "there/config.json", folder=folder)
    same_bits("the run there and back", load_file(folder / "back" / "weights.safetensors"),
              load_file(folder / "run" / "weights.safetensors"))
    back = json.loads((folder / "back" / "config.json").read_text())
    run_configuration = json.loads((folder / "run" / "config.json").read_text())["configuration"]
    changed = [key for key in back.keys() | run_configuration.keys()
               if key not in OF_THE_BEGINNING and back.get(key) != run_configuration.get(key)]
    if changed:
        fail(f"the configuration of the run has changed there and back: {', '.join(sorted(changed))}")
    loads_in_the_peer(name, config, folder)


def loads_in_the_peer(name, config, folder):
    """The run's weights by safetensors alone: all names for load_state_dict, and shared tensors once for load_model, which
    refuses a second name of one tensor."""
    peer = PEERS[name]
    tokens = peer.tokens(config, (2, peer.length(config)))
    expected = our_logits(tokens, "--run", "run", folder=folder)
    weights = folder / "run" / "weights.safetensors"
    model = peer.kind(**config)
    model.load_state_dict(load_file(weights), strict=True)
    compare("load_state_dict of the run's weights", expected, peer_logits(peer, model, tokens))
    model = peer.kind(**config)
    missing, second = load_model(model, weights, strict=False)
    if missing or not set(second) <= set(model.state_dict()):
        fail(f"load_model of the run's weights: {missing} are missing, {second} are unknown")
    compare("load_model, not strict, of the run's weights", expected, peer_logits(peer, model, tokens))
    (folder / "once").mkdir()
    convert(name, "run", "once/model.safetensors", folder=folder)
    model = peer.kind(**json.loads((folder / "once" / "config.json").read_text()))
    load_model(model, folder / "once" / "model.safetensors", strict=True)
    compare("load_model of the run with shared tensors once", expected, peer_logits(peer, model, tokens))
    source = ["--model", name, "--config", "back/config.json", "--weights", "once/model.safetensors"]
    compare("and that file here", our_logits(tokens, *source, folder=folder), expected)


def as_people_have_them(name, config, folder):
    """A model of the peer in the files that people have, loaded here as they are, and by the converter."""
    peer = PEERS[name]
    model = peer.kind(**config)
    move_off_initial_values(model)
    tokens = peer.tokens(config, (2, peer.length(config)))
    expected = peer_logits(peer, model, tokens)
    said = {key: value for key, value in config.items() if key not in peer.inferred} | peer.ours(config)
    said = [f"--set={key}={json.dumps(value)}" for key, value in said.items()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    save_model(model, folder / "once.safetensors")
    bare = load_file(folder / "once.safetensors")
    if len(bare) == len(state):
        fail(f"{name}: the model of this test shares no tensors")
    save_file(bare, folder / "bare.safetensors")
    save_file({"module._orig_mod." + key: value for key, value in bare.items()}, folder / "wrapped.safetensors")
    (folder / "shards").mkdir()
    keys, places = sorted(state), {}
    for number, part in enumerate((keys[:7], keys[7:]), start=1):
        places |= {key: f"model-0000{number}-of-00002.safetensors" for key in part}
        save_file({key: state[key] for key in part}, folder / "shards" / places[part[0]])
    (folder / "shards" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    torch.save({"state_dict": {"model." + key: value for key, value in state.items()}, "epoch": 3}, folder / "lightning.ckpt")
    torch.save({"model": {"_orig_mod." + key: value for key, value in state.items()}, "optimizer": {"lr": 1.0}},
               folder / "nano.pt")
    for number, file in enumerate(("once.safetensors", "bare.safetensors", "wrapped.safetensors", "shards",
                                   "shards/model.safetensors.index.json", "lightning.ckpt", "nano.pt")):
        here = folder / f"as-{number}"
        here.mkdir()
        lines = convert(peer.model or name, file, here / "weights.safetensors", *said, folder=folder).splitlines()
        same_bits(f"{file}, converted", load_file(here / "weights.safetensors"), state)
        told = {"once": "taken from another name", "bare": "taken from another name", "wrapped": '"module._orig_mod." taken',
                "shards": "read from 2 files", "lightning": '"state_dict" opened', "nano": "left alone: optimizer"}
        if not any(told[file.partition(".")[0].partition("/")[0]] in line for line in lines):
            fail(f"{file}: the converter does not say what it did: {lines}")
        if file.endswith((".pt", ".ckpt")):
            continue
        source = ["--model", peer.model or name, "--config", here / "config.json", "--weights", file]
        compare(f"{file} as it is", our_logits(tokens, *source, folder=folder), expected)
    narrow_types(peer, peer.model or name, model, tokens, said, folder)


def narrow_types(peer, model_id, model, tokens, said, folder):
    """Types of eight bits are widened, and constants, which the model knows, are as they were before they were rounded."""
    constants = {key: value.clone() for key, value in model.state_dict().items() if key.endswith(("freqs", "inv_freq"))}
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        rounded = {key: value.to(dtype) for key, value in model.state_dict().items()}
        model.load_state_dict({key: value.float() for key, value in rounded.items()} | constants)
        save_file({key: value.clone() for key, value in rounded.items()}, folder / "narrow.safetensors")
        here = folder / str(dtype)
        here.mkdir()
        lines = convert(model_id, "narrow.safetensors", here / "weights.safetensors", *said, folder=folder)
        if f"{dtype} written as float32" not in lines:
            fail(f"the converter does not say that it widened {dtype}: {lines}")
        source = ["--model", model_id, "--config", here / "config.json", "--weights", here / "weights.safetensors"]
        compare(f"{dtype}, converted", our_logits(tokens, *source, folder=folder), peer_logits(peer, model, tokens))


def objects_of_pickles(folder):
    """Of what a pickle holds beside tensors the first object that is not read is named, and what a file is instead."""
    state = FLASHTransformer(**PEERS["flash"].small).state_dict()
    out = "bad/weights.safetensors"
    rest = (", which is not read, as an object of a pickle can run code; expected tensors, numbers and words:"
            " torch.save(model.state_dict(), …)")
    torch.save({"model": state, "args": argparse.Namespace(lr=1)}, folder / "arguments.pt")
    refuses("arguments.pt: holds argparse.Namespace" + rest, "arguments.pt", out, folder=folder)
    torch.save({"model": state, "path": pathlib.PurePosixPath("x")}, folder / "path.pt")
    code, _, errors = run_converter("flash", "path.pt", out, folder=folder)
    if code != 1 or "PurePosixPath" not in errors or not errors.endswith(rest):
        fail(f"path.pt: {errors}")
    for file, content, kind in (
            ("page.pt", b"<!DOCTYPE html>\n<html></html>", "an HTML page, perhaps of a download that failed"),
            ("page.safetensors", b"\n<html>", "an HTML page, perhaps of a download that failed"),
            ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:01\n",
             "a Git LFS pointer, a few lines in place of the file: git lfs pull fetches it"),
            ("packed.pt", b"\x1f\x8b\x08\0\0\0", "compressed with gzip: gunzip unpacks it"),
            ("model.gguf", b"GGUF\x03\0\0\0", "a GGUF file, as llama.cpp reads them"), ("none.ckpt", b"", "an empty file")):
        (folder / file).write_bytes(content)
        refuses(f"{file}: is {kind}; expected a checkpoint", file, out, folder=folder)
    (folder / "broken").mkdir()
    index = "broken/model.safetensors.index.json"
    (folder / index).write_text('{"weight_map": {"a": "one.safetensors"}}')
    refuses(f'{index}: names "one.safetensors", which is missing; expected it beside the index', index, out, folder=folder)
    (folder / index).write_text("{}")
    refuses(f'{index}: is no index of weights; expected "weight_map" to name the file of each tensor', "broken", out,
            folder=folder)
    (folder / index).unlink()
    for number in (1, 2):
        save_file({"a": torch.ones(1)}, folder / "broken" / f"x-0000{number}-of-00002.safetensors")
    refuses("broken: several files hold a; expected it in one", "broken", out, folder=folder)
    if list((folder / "bad").iterdir()):
        fail(f"a refused conversion has left {list((folder / 'bad').iterdir())}")
    print("wrong files: one line each that says what they are")


def from_the_peer(name, number, folder):
    """A checkpoint of the peer, to here and back."""
    peer = PEERS[name]
    wrapping, prefix, config = peer.checkpoints[number]
    # So that another case leaves this one as it is; and float32 knows the logits to 5e-6, also where streams cancel.
    seed(f"{name}, {number}")
    model = peer.kind(**config)
    move_off_initial_values(model)
    state = {prefix + key: value for key, value in model.state_dict().items()}
    torch.save({wrapping: state, "epoch": 3} if wrapping else state, folder / "model.pt")
    said = {key: value for key, value in config.items() if key not in peer.inferred} | peer.ours(config)
    said = [f"--set={key}={json.dumps(value)}" for key, value in said.items()]
    here = folder / f"here-{number}"
    here.mkdir()
    model_id = peer.model or name
    convert(model_id, "model.pt", here / "weights.safetensors", *said, folder=folder)
    tokens = peer.tokens(config, (3, peer.length(config)))
    source = ["--model", model_id, "--config", here / "config.json", "--weights", here / "weights.safetensors"]
    compare(f"peer {number + 1} here", our_logits(tokens, *source, folder=folder), peer_logits(peer, model, tokens))
    back = folder / f"back-{number}"
    back.mkdir()
    convert(model_id, here / "weights.safetensors", back / "model.pt", folder=folder)
    same_bits(f"peer {number + 1} here and back", torch.load(back / "model.pt", weights_only=True), model.state_dict())
    peer.kind(**json.loads((back / "config.json").read_text())).load_state_dict(
        torch.load(back / "model.pt", weights_only=True))


def tells_defaults(name, folder):
    """What the weights do not say is printed."""
    torch.save(PEERS[name].kind(**PEERS[name].small).state_dict(), folder / "good.pt")
    said = convert(PEERS[name].model or name, "good.pt", "bad/weights.safetensors", folder=folder)
    if PEERS[name].defaults not in said:
        fail(f"the defaults are not told: {said}")


def random_projections(folder):
    """A model here whose projections the peer does not save: they are in the file, and put into its heads."""
    config = dict(num_tokens=9, input_size=12, channels=8, dim_k=5, nhead=2, method="no_params", parameter_sharing="none")
    model = LinformerLM(**config)
    heads = {name: m for name, m in model.named_modules() if isinstance(m, LinearAttentionHead)}
    state = {**model.state_dict(), **{f"{name}.{key}": getattr(m, key) for name, m in heads.items() for key in "EF"}}
    for name in ("given", "random", "taken"):
        (folder / name).mkdir()
    torch.save(state, folder / "given" / "model.pt")
    convert("linformer", "given/model.pt", "random/weights.safetensors", folder=folder)
    tokens = torch.randint(0, 9, (3, 12))
    source = ["--model", "linformer", "--config", "random/config.json", "--weights", "random/weights.safetensors"]
    compare("random projections here", our_logits(tokens, *source, folder=folder), model.eval()(tokens))
    said = convert("linformer", "random/weights.safetensors", "taken/model.pt", folder=folder)
    if "it loads this one with strict=False only" not in said:
        fail(f"nothing is said of random projections: {said}")
    again = LinformerLM(**json.loads((folder / "taken" / "config.json").read_text())).eval()
    saved = torch.load(folder / "taken" / "model.pt", weights_only=True)
    again.load_state_dict(saved, strict=False)
    for name, head in again.named_modules():
        if isinstance(head, LinearAttentionHead):
            head.E, head.F = saved[name + ".E"], saved[name + ".F"]
    compare("random projections there", again(tokens), model(tokens))


def token_wise(folder):
    """The peer's other form, whose keys differ: here, and back in the first form."""
    config = dict(n_vocab=9, d_model=10, heads=2, d_ff=7, n_layers=2, nu=2)
    model = LanguageModel(**config, is_token_wise=True)
    move_off_initial_values(model)
    for name in ("wise", "parallel"):
        (folder / name).mkdir()
    torch.save(model.state_dict(), folder / "wise.pt")
    convert("fast-weights", "wise.pt", "wise/weights.safetensors", "--set", "nu=2", folder=folder)
    tokens = torch.randint(0, 9, (3, 37))
    expected = peer_logits(PEERS["fast-weights"], model, tokens)
    source = ["--model", "fast-weights", "--config", "wise/config.json", "--weights", "wise/weights.safetensors"]
    compare("the token-wise form here", our_logits(tokens, *source, folder=folder), expected)
    convert("fast-weights", "wise/weights.safetensors", "parallel/model.pt", folder=folder)
    again = LanguageModel(**json.loads((folder / "parallel" / "config.json").read_text()))
    again.load_state_dict(torch.load(folder / "parallel" / "model.pt", weights_only=True))
    compare("and there in the other form", peer_logits(PEERS["fast-weights"], again, tokens), expected)


def main():
    if not (EXECUTABLES / "Evaluate").exists() or not (EXECUTABLES / "Train").exists():
        fail(f"{EXECUTABLES} has no Train and Evaluate; build them with swift build -c release")
    warnings.filterwarnings("ignore", module="torch")  # of the way linformer-pytorch makes its checkpoints
    for name, peer in PEERS.items():
        print(f"{name}:")
        seed(name)
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            (folder / "bad").mkdir()
            if peer.train is not None:
                from_here(name, folder)
            for number in range(len(peer.checkpoints)):
                from_the_peer(name, number, folder)
            if name == "block-recurrent":
                bad_block_recurrents(folder)
            if name == "fast-weights":
                bad_fast_weights(folder)
                token_wise(folder)
            if name == "fast-weights, gated delta net":
                as_fla_writes_them(folder)
                bad_flas(folder)
            if name == "flash":
                as_people_have_them(name, dict(num_tokens=9, dim=10, depth=3, group_size=5, causal=True), folder)
                bad_input(folder)
                objects_of_pickles(folder)
            if name == "linformer, encoder and decoder":
                as_people_have_them(name, dict(PEERS[name].small, enc_depth=2, dec_parameter_sharing="kv"), folder)
            if name == "linformer":
                for sharing in ("layerwise", "kv", "headwise"):
                    (folder / sharing).mkdir()
                    config = dict(num_tokens=9, input_size=8, channels=8, dim_k=3, depth=2, parameter_sharing=sharing)
                    as_people_have_them(name, config, folder / sharing)
                bad_linformers(folder)
                random_projections(folder)
            tells_defaults(name, folder)


main()
