"""What Scripts/check-conversion runs, with the peers' Python."""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import torch
from conversion_peers import PEERS
from fixtures.common import move_off_initial_values, seed
from fixtures.block_recurrent import Variant
from fixtures.fast_weights import LanguageModel
from flash_pytorch import FLASHTransformer
from linformer_pytorch import LinformerEncDec, LinformerLM
from linformer_pytorch.linformer_pytorch import LinearAttentionHead
from safetensors.torch import load_file, load_model, save_file, save_model

SCRIPTS = pathlib.Path(__file__).resolve().parent
EXECUTABLES = SCRIPTS.parent / ".build" / "release"

# Options of ours that only say how weights begin: the peer's keywords cannot carry them.
OF_THE_BEGINNING = {"projection_start", "identical_layers"}

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


def from_here(name, folder):
    """A run made here, to the peer and back."""
    peer = PEERS[name]
    (folder / "text.txt").write_text("".join(f"{i} swans on the river, {i % 7} herons\n" for i in range(400)))
    succeed(EXECUTABLES / "Train", "--model", name, "--preset", "tiny", "--data", "text.txt", "--steps", "5",
            "--sample-every", "0", "--out", "run", *peer.train, folder=folder)
    (folder / "there").mkdir()
    (folder / "back").mkdir()
    convert(name, "run", "there/model.pt", folder=folder)
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


def objects_of_pickles(folder):
    """Of what a pickle holds beside tensors the first object that is not read is named, and what a file is instead."""
    state = FLASHTransformer(**PEERS["flash"].small).state_dict()
    out = "bad/weights.safetensors"
    rest = (", which is not read, as an object of a pickle can run code; expected tensors, numbers and words:"
            " torch.save(model.state_dict(), …)")
    torch.save({"model": state, "args": argparse.Namespace(lr=1)}, folder / "arguments.pt")
    refuses("arguments.pt: holds argparse.Namespace" + rest, "arguments.pt", out, folder=folder)
    torch.save({"model": state, "path": pathlib.PurePosixPath("x")}, folder / "path.pt")
    code, _, errors = run(sys.executable, SCRIPTS / "convert_checkpoint.py", "flash", "path.pt", out, folder=folder)
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


def bad_input(folder):
    """Messages, the same whatever the model: shown with flash, in the folder of its run."""
    model = FLASHTransformer(**PEERS["flash"].small)
    state = model.state_dict()
    out = "bad/weights.safetensors"

    def save(name, content):
        torch.save(content, folder / name)
        return name

    good = save("good.pt", state)
    refuses('unknown model "flsh"; expected one of block-recurrent, fast-weights, flash, linformer, local', good, out,
            folder=folder, model="flsh")
    refuses("none.pt: cannot be read: No such file or directory", "none.pt", out, folder=folder)
    refuses("bad/model.pt: expected a destination that ends in .safetensors", good, "bad/model.pt", folder=folder)
    refuses("bad/x.bin: expected a destination that ends in .pt or .safetensors", "run", "bad/x.bin", folder=folder)
    refuses("none: is no folder; expected one to write to", good, "none/weights.safetensors", folder=folder)
    refuses("there/config.json: exists already; expected a new file, or --force", good, "there/w.safetensors",
            folder=folder)
    refuses("run/config.json: belongs to a run; expected a destination in another folder", "run", "run/model.pt",
            "--force", folder=folder)
    code, _, errors = run(sys.executable, SCRIPTS / "convert_checkpoint.py", "flash", save("module.pt", model), out,
                          folder=folder)
    if code != 1 or not errors.startswith("convert_checkpoint.py: module.pt: holds flash_pytorch.flash_pytorch.FLASH, "):
        fail(f"module.pt: {errors}")
    refuses('odd.pt: "steps" is no tensor; expected a state dict, or one under state_dict or model_state_dict or model',
            save("odd.pt", {**state, "steps": 3}), out, folder=folder)
    refuses("list.pt: expected a state dict, found list", save("list.pt", [1]), out, folder=folder)
    lacking = {key: value for key, value in state.items() if key != "layers.0.to_out.bias"}
    refuses("lacking.pt: lacks layers.0.to_out.bias", save("lacking.pt", lacking), out, folder=folder)
    refuses("more.pt: has extra, which such a model has not", save("more.pt", {**state, "extra": torch.ones(1)}), out,
            folder=folder)
    shaped = {**state, "to_logits.1.bias": torch.ones(8)}
    refuses('shaped.pt: "to_logits.1.bias": expected the shape [9], found [8]', save("shaped.pt", shaped), out,
            folder=folder)
    refuses('--set: "dim" is 12, but the weights of good.pt have 10', good, out, "--set", "dim=12", folder=folder)
    refuses('--set: "expansion_factor" is 2.2, but the weights of good.pt have 2.0', good, out, "--set",
            "expansion_factor=2.2", folder=folder)
    refuses('--set: "causal": expected true or false, found 1', good, out, "--set", "causal=1", folder=folder)
    refuses('--set: "group_size": expected at least 1 and less than 2147483648, found 0', good, out, "--set",
            "group_size=0", folder=folder)
    refuses("--set: expected KEY=VALUE, found causal", good, out, "--set", "causal", folder=folder)
    (folder / "given.json").write_text('{"norm_type": "layernorm"}')
    refuses('given.json: "norm_type" is "layernorm", but the weights of good.pt have "scalenorm"', good, out, "--config",
            "given.json", folder=folder)
    (folder / "cut.safetensors").write_bytes((folder / "run" / "weights.safetensors").read_bytes()[:1000])
    code, _, errors = run(sys.executable, SCRIPTS / "convert_checkpoint.py", "flash", "cut.safetensors", "bad/model.pt",
                          folder=folder)  # the rest of the line is the library's
    if code != 1 or not errors.startswith("convert_checkpoint.py: cut.safetensors: ") or "\n" in errors:
        fail(f"cut.safetensors: {errors}")
    (folder / "cut.pt").write_bytes((folder / good).read_bytes()[:1000])
    code, _, errors = run(sys.executable, SCRIPTS / "convert_checkpoint.py", "flash", "cut.pt", out, folder=folder)
    if code != 1 or not errors.startswith("convert_checkpoint.py: cut.pt: is no PyTorch") or "\n" in errors:
        fail(f"cut.pt: {errors}")
    if list((folder / "bad").iterdir()):
        fail(f"a refused conversion has left {list((folder / 'bad').iterdir())}")
    print("bad input: one line each, and nothing written")


def tells_defaults(name, folder):
    """What the weights do not say is printed."""
    torch.save(PEERS[name].kind(**PEERS[name].small).state_dict(), folder / "good.pt")
    said = convert(PEERS[name].model or name, "good.pt", "bad/weights.safetensors", folder=folder)
    if PEERS[name].defaults not in said:
        fail(f"the defaults are not told: {said}")


def bad_linformers(folder):
    """What only Linformer's checkpoints can be."""
    def save(name, kind, config, change=lambda state: state):
        torch.save(change(kind(**config).state_dict()), folder / name)
        return name

    out, small = "bad/weights.safetensors", PEERS["linformer"].small
    both = PEERS["linformer, encoder and decoder"].small
    refuse = lambda message, *arguments: refuses(message, *arguments, folder=folder, model="linformer")
    lost = save("lost.pt", LinformerLM, small | dict(method="no_params"))
    refuse("lost.pt: lacks the projections linformer.seq.0.fn.heads.0.E …: with method no_params linformer-pytorch does not"
           " save them, and without them it is another model; expected E and F [input_size, dim_k]", lost, out)
    kernels = save("kernels.pt", LinformerLM, small | dict(method="convolution"))
    refuse("kernels.pt: the kernels of a convolution do not say input_size and dim_k; expected --set input_size=… --set"
           " dim_k=…", kernels, out)
    refuse('kernels.pt: "linformer.seq.0.fn.heads.0.E.weight": expected the shape [2, 2, 4], found [2, 2, 2]', kernels, out,
           "--set", "input_size=8", "--set", "dim_k=2")
    good = save("shared.pt", LinformerLM, small | dict(parameter_sharing="kv"))
    refuse('"parameter_sharing" is "layerwise", but the projections are not equal as with it, only as with "kv"', good, out,
           "--set", "parameter_sharing=layerwise")
    refuse('"causal": true is the leak-free form, which linformer-pytorch has not; expected false or "compatible", its'
           " causal=True", good, out, "--set", "causal=true")
    refuse('"decoder_mode": true is no language model; expected false', good, out, "--set", "decoder_mode=true")
    refuse('--set: "causal": expected true or false, found "strict"', good, out, "--set", "causal=strict")
    save("flash.pt", FLASHTransformer, PEERS["flash"].small)
    refuse('flash.pt: no key begins with "linformer.seq."; expected the state dict of a LinformerLM or LinformerEncDec',
           "flash.pt", out)
    pair = save("pair.pt", LinformerEncDec, both)
    refuse('"dec_causal": true hides the target\'s future, which linformer-pytorch\'s mask does not; expected "compatible"',
           pair, out, "--set", "dec_causal=true")
    random = save("random.pt", LinformerEncDec, both | dict(dec_method="no_params"))
    refuse("random.pt: decoder: lacks the projections linformer.seq.0.fn.heads.0.E …: with method no_params linformer-pytorch"
           " does not save them, and without them it is another model; expected E and F [input_size, dim_k]", random, out)
    if list((folder / "bad").iterdir()):
        fail(f"a refused conversion has left {list((folder / 'bad').iterdir())}")
    print("bad checkpoints: one line each, and nothing written")


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


def bad_fast_weights(folder):
    """What only checkpoints of fast weights can be."""
    def save(name, state):
        torch.save(state, folder / name)
        return name

    out, config = "bad/weights.safetensors", PEERS["fast-weights"].small
    refuse = lambda message, *arguments: refuses(message, *arguments, folder=folder, model="fast-weights")
    state = LanguageModel(**config).state_dict()
    good = save("fast.pt", state)
    weight = "transformer.layers.0.attn.interpolation_weight.0.linear.weight"
    refuse(f"lacking.pt: lacks {weight}: neither a β that is fixed nor softmax attention is anything that labml-nn has", save(
        "lacking.pt", {key: value for key, value in state.items() if key != weight}), out)
    refuse('"beta" is 0.5, but the weights have a β that follows from the input; expected "input"', good, out, "--set",
           "beta=0.5")
    refuse('"feature_map" is "softmax", but the weights are those of labml-nn\'s DPFP; expected "dpfp" or "elu"', good, out,
           "--set", "feature_map=softmax")
    refuse('--set: "heads" is 5, but the weights of fast.pt have 2', good, out, "--set", "heads=5")
    refuse("flash.pt: no key begins with \"transformer.layers.\"; expected the state dict of an AutoregressiveModel of"
           " labml-nn's fast_weights", save("flash.pt", FLASHTransformer(**PEERS["flash"].small).state_dict()), out)
    if list((folder / "bad").iterdir()):
        fail(f"a refused conversion has left {list((folder / 'bad').iterdir())}")
    print("bad checkpoints: one line each, and nothing written")


# As flash-linear-attention writes it, with much that says nothing here.
FLA_CONFIGURATION = dict(
    model_type="delta_net", architectures=["DeltaNetForCausalLM"], vocab_size=9, hidden_size=10, num_heads=2,
    intermediate_size=None, hidden_ratio=4, num_hidden_layers=1, expand_k=1, expand_v=1, use_gate=False, use_beta=True,
    use_short_conv=True, conv_size=4, allow_neg_eigval=True, qk_norm="l2", qk_activation="relu", norm_eps=1e-3, attn=None,
    hidden_act="swish", attn_mode="chunk", fuse_norm=True, tie_word_embeddings=True, max_position_embeddings=2048,
    torch_dtype="bfloat16", transformers_version="5.6.2", bos_token_id=1, use_cache=True)


def as_fla_writes_them(folder):
    """A folder with a configuration beside the weights, whose logits have the embeddings' matrix."""
    peer = PEERS["fast-weights, delta net"]
    model = peer.kind(**peer.small, qk_activation="relu", allow_neg_eigval=True, norm_eps=1e-3)
    move_off_initial_values(model)
    model.lm_head.weight = model.model.embeddings.weight
    for name in ("pretrained", "loaded", "again", "returned"):
        (folder / name).mkdir()
    save_model(model, folder / "pretrained" / "model.safetensors")
    (folder / "pretrained" / "config.json").write_text(json.dumps(FLA_CONFIGURATION))
    convert("fast-weights", "pretrained", "loaded/weights.safetensors", folder=folder)
    tokens = torch.randint(0, 9, (3, 37))
    source = ["--model", "fast-weights", "--config", "loaded/config.json", "--weights", "loaded/weights.safetensors"]
    compare("as save_pretrained writes it", our_logits(tokens, *source, folder=folder), peer_logits(peer, model, tokens))
    convert("fast-weights", "loaded/weights.safetensors", "returned/model.pt", folder=folder)
    back = json.loads((folder / "returned" / "config.json").read_text())
    known = FLA_CONFIGURATION | dict(intermediate_size=7, tie_word_embeddings=False)
    if changed := [key for key, value in back.items() if known[key] != value]:
        fail(f"the configuration has changed there and back: {', '.join(sorted(changed))}")
    wrapped = {"module." + key: value for key, value in load_file(folder / "pretrained" / "model.safetensors").items()}
    torch.save(wrapped, folder / "wrapped.pt")
    convert("fast-weights", "wrapped.pt", "again/weights.safetensors", "--config", "pretrained/config.json", folder=folder)
    same_bits("and with a name before all others", load_file(folder / "again" / "weights.safetensors"),
              load_file(folder / "loaded" / "weights.safetensors"))


def bad_flas(folder):
    """What only checkpoints of flash-linear-attention can be."""
    small, kind = PEERS["fast-weights, delta net"].small, PEERS["fast-weights, gated delta net"].kind
    state, out, layer = kind(**small).state_dict(), "bad/weights.safetensors", "model.layers.0."
    refuse = lambda message, *arguments: refuses(message, *arguments, folder=folder, model="fast-weights")

    def save(name, change):
        torch.save(state | change if isinstance(change, dict) else {k: v for k, v in state.items() if k != change},
                   folder / name)
        return name

    refuse(f'wide.pt: "{layer}attn.v_proj.weight": 20 columns of values (expand_v, or head_dim and num_v_heads); expected as'
           " many as the model has, 10", save("wide.pt", {layer + "attn.v_proj.weight": torch.ones(20, 10)}), out)
    refuse(f'narrow.pt: "{layer}attn.q_proj.weight": 6 columns of queries (expand_k, or head_dim and num_heads); expected as'
           " many as the model has, 10", save("narrow.pt", {layer + "attn.q_proj.weight": torch.ones(6, 10)}), out)
    refuse(f"lacking.pt: lacks {layer}mlp.up_proj.weight", save("lacking.pt", layer + "mlp.up_proj.weight"), out)
    refuse(f"bare.pt: lacks {layer}attn.q_conv1d.weight: without it (use_short_conv) values pass a SiLU there, not here", save(
        "bare.pt", layer + "attn.q_conv1d.weight"), out)
    refuse(f"more.pt: has {layer}attn.q_conv1d.bias, which such a model has not here",
           save("more.pt", {layer + "attn.q_conv1d.bias": torch.ones(10)}), out)
    refuse(f"hybrid.pt: has model.layers.0.attn_res_proj.weight, which such a model has not here",
           save("hybrid.pt", {layer + "attn_res_proj.weight": torch.ones(1, 10)}), out)
    good = save("fla.pt", {})
    refuse('"norm" is "layer", but the weights are those of flash-linear-attention; expected "rms"', good, out, "--set",
           "norm=layer")
    refuse('--set: "heads" is 5, but the weights of fla.pt have 2', good, out, "--set", "heads=5")
    for key, value, message in (
            ("qk_norm", "sum", '"qk_norm" is "sum", which is not computed here; expected "l2"'),
            ("expand_v", 2.0, '"expand_v" is 2.0, which is not computed here; expected 1'),
            ("use_short_conv", False, '"use_short_conv" is false, which is not computed here; expected true'),
            ("use_beta", False, '"allow_neg_eigval" is true without "use_beta", which is not computed here; expected false'),
            ("hidden_act", "powlu", '"hidden_act" is "powlu", which is not computed here; expected "swish"'),
            ("attn", {"layers": [1]}, '"attn" is {"layers": [1]}, which is not computed here; expected null'),
            ("num_v_heads", 4, '"num_v_heads" is 4; expected as many as "num_heads", 2'),
            ("model_type", "gla", '"model_type" is "gla"; expected "delta_net" or "gated_deltanet"')):
        (folder / "fla.json").write_text(json.dumps(FLA_CONFIGURATION | {key: value}))
        refuse(f"fla.json: {message}", good, out, "--config", "fla.json")
    (folder / "fla.json").write_text(json.dumps(FLA_CONFIGURATION | dict(model_type="gated_deltanet", head_dim=4)))
    refuse('fla.json: "head_dim" is 4; expected "hidden_size" / "num_heads", that is 10 / 2', good, out, "--config",
           "fla.json")
    (folder / "ours").mkdir()
    convert("fast-weights", good, "ours/weights.safetensors", folder=folder)
    ours = load_file(folder / "ours" / "weights.safetensors")
    save_file(ours | {"generator.bias": torch.ones(9)}, folder / "ours" / "biased.safetensors")
    refuse("generator.bias is not zero, but flash-linear-attention has no biases: it computes something else",
           "ours/biased.safetensors", "bad/model.pt")
    refuse('ours/weights.safetensors: "norm" is "layer", which no peer has with the recipe; expected "rms"',
           "ours/weights.safetensors", "bad/model.pt", "--set", "norm=layer")
    (folder / "fixed").mkdir()
    save_file({k: v for k, v in ours.items() if "interpolation" not in k}, folder / "fixed" / "weights.safetensors")
    refuse('"beta" is 1.0, but GatedDeltaNetForCausalLM computes it; expected "input"', "fixed/weights.safetensors",
           "bad/model.pt")
    if list((folder / "bad").iterdir()):
        fail(f"a refused conversion has left {list((folder / 'bad').iterdir())}")
    print("bad checkpoints: one line each, and nothing written")


def bad_block_recurrents(folder):
    """What only checkpoints of block-recurrent transformers can be, and models from here that the peer cannot."""
    small = PEERS["block-recurrent"].small | dict(depth=4)
    refuse = lambda message, *arguments: refuses(message, *arguments, folder=folder, model="block-recurrent")

    def save(name, change=lambda state: state, **config):
        torch.save(change(PEERS["block-recurrent"].kind(**small | config).state_dict()), folder / name)
        return name

    out = "bad/weights.safetensors"
    refuse("open.pt: the weights do not say which of the layers [1, 2] reads the states of which of [2, 3]; expected --set"
           " read_recurrent_layers=[…]", save("open.pt", recurrent_layers=[2, 3], read_recurrent_layers=[1, 2]), out)
    refuse('--set: "read_recurrent_layers" is [2, 2], but the weights of open.pt have [1, 2]', "open.pt", out, "--set",
           "read_recurrent_layers=[2,2]")
    refuse('--set: "recurrent_layers" is [1], but the weights of block.pt have [2]', save("block.pt"), out, "--set",
           "recurrent_layers=[1]")
    refuse('--set: "recurrent_layers": expected a list, found 2', "block.pt", out, "--set", "recurrent_layers=2")
    refuse('"gate" is "lstm", but the weights are those of "fixed"', "block.pt", out, "--set", "gate=lstm")
    refuse('--set: "gate": expected fixed or lstm, found "gru"', "block.pt", out, "--set", "gate=gru")
    lacks = lambda state: {key: value for key, value in state.items() if not key.endswith("init_state")}
    refuse("none.pt: the layers read [0, 1, 0, 0] states and [] write some; expected a layer for each that reads it, not above"
           " it", save("none.pt", lacks), out)
    container = "layers.1.0.state_container."
    for option, key in (("state_update", container + "state_ff.0.beta"), ("feedback", "layers.0.0.feedback.0.weight")):
        model = Variant(**small, **{option: {"feedback": True}.get(option, "single")})
        save_file({k: v.clone() for k, v in model.state_dict().items()}, folder / "own.safetensors")
        refuse(f"own.safetensors: has {key}, which is of {option}: nothing that block-recurrent-transformer-pytorch has",
               "own.safetensors", "bad/model.pt")
    save_file({k: v.clone() for k, v in Variant(**small, gate="lstm").state_dict().items()}, folder / "own.safetensors")
    refuse(f'own.safetensors: lacks {container}learned_ema_beta: the gate "lstm" is nothing that'
           " block-recurrent-transformer-pytorch has", "own.safetensors", "bad/model.pt")
    if list((folder / "bad").iterdir()):
        fail(f"a refused conversion has left {list((folder / 'bad').iterdir())}")
    print("bad checkpoints: one line each, and nothing written")


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
