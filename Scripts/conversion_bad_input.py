"""Checkpoints that the converter refuses, each with its line."""
import torch
from conversion_peers import PEERS
from conversion_support import fail, refuses, run_converter
from fixtures.block_recurrent import Variant
from fixtures.fast_weights import LanguageModel
from flash_pytorch import FLASHTransformer
from linformer_pytorch import LinformerEncDec, LinformerLM
from safetensors.torch import save_file


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
    code, _, errors = run_converter("flash", save("module.pt", model), out, folder=folder)
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
    # The rest of the line is the library's.
    code, _, errors = run_converter("flash", "cut.safetensors", "bad/model.pt", folder=folder)
    if code != 1 or not errors.startswith("convert_checkpoint.py: cut.safetensors: ") or "\n" in errors:
        fail(f"cut.safetensors: {errors}")
    (folder / "cut.pt").write_bytes((folder / good).read_bytes()[:1000])
    code, _, errors = run_converter("flash", "cut.pt", out, folder=folder)
    if code != 1 or not errors.startswith("convert_checkpoint.py: cut.pt: is no PyTorch") or "\n" in errors:
        fail(f"cut.pt: {errors}")
    if list((folder / "bad").iterdir()):
        fail(f"a refused conversion has left {list((folder / 'bad').iterdir())}")
    print("bad input: one line each, and nothing written")


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
    refuse('"pre_norm" is true, but linformer-pytorch has norms after its layers only', good, out, "--set", "pre_norm=true")
    refuse('"ff_gated" is true, but linformer-pytorch has no gates', good, out, "--set", "ff_gated=true")
    refuse('--set: "causal": expected true or false, found "segments"', good, out, "--set", "causal=segments")
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
    refuse('"learned_temperatures" is true, but the weights are those of false', "block.pt", out, "--set",
           "learned_temperatures=true")
    refuse('"relative_position_bias" is true, but the weights are those of false', "block.pt", out, "--set",
           "relative_position_bias=true")
    refuse('"kv_heads" is 2, but block-recurrent-transformer-pytorch has one head of keys and values', "block.pt", out, "--set",
           "kv_heads=2")
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
