"""What convert_checkpoint.py knows of linformer-pytorch: LinformerLM, and LinformerEncDec as a variant.

Which projections are one is seen by their equal values. What linformer-pytorch does not save (E and F of no_params) or
cannot do is said; its causal=True is "compatible" here."""
import re

from checkpoint_base import Architecture, InputError, shape

SHARINGS = ["none", "headwise", "kv", "layerwise"]  # from the finest to the coarsest, each a case of the one before


# MARK: One part: a language model, the encoder, or the decoder


class Layers:
    """The keys of the layers of a state dict."""

    def __init__(self, state):
        self.prefix = next((p for p in ("linformer.fn.seq.", "linformer.seq.") if any(k.startswith(p) for k in state)), "")
        numbers = [re.match(re.escape(self.prefix) + r"(\d+)\.fn\.to_q\.0\.weight$", key) for key in state]
        self.attentions = sorted(int(m[1]) for m in numbers if m)
        if not self.prefix or not self.attentions:
            raise InputError('no key begins with "linformer.seq."; expected the state dict of a LinformerLM or'
                             " LinformerEncDec")

    def key(self, attention, name):
        return f"{self.prefix}{self.attentions[attention]}.{name}"

    def projection(self, state, attention, head, name):
        """E or F; None where the peer has not saved it."""
        key = self.key(attention, f"fn.heads.{head}.{name}")
        return state.get(key + ".weight", state.get(key))


def infer_part(state, given, is_decoder=False, prefix=""):
    """prefix: of the keywords, for messages."""
    layers = Layers(state)
    num_tokens, width = shape(state, "to_token_emb.weight", 2)
    columns, channels = shape(state, layers.key(0, "fn.to_q.0.weight"), 2)
    heads = sum(layers.key(0, f"fn.to_q.{h}.weight") in state for h in range(len(state)))
    depth = len(layers.attentions) // (2 if is_decoder else 1)
    config = dict(num_tokens=num_tokens, channels=channels, nhead=heads, depth=depth,
                  dim_d=None if heads * columns == channels else columns, emb_dim=None if width == channels else width,
                  w_o_intermediate_dim=None, **infer_projections(state, layers, heads, depth, is_decoder, given, prefix))
    if layers.key(0, "fn.w_o_1.weight") in state:
        config["w_o_intermediate_dim"] = shape(state, layers.key(0, "fn.w_o_1.weight"), 2)[0]
    return config | infer_feed_forward(state, layers, channels, depth, is_decoder)


def infer_feed_forward(state, layers, channels, depth, is_decoder):
    after = f"{layers.prefix}{layers.attentions[0] + 1}."
    if after + "fn.w_1.weight" not in state:
        return dict(include_ff=False, ff_intermediate=None)
    width = shape(state, after + "norm.weight", 1)[0]
    return dict(include_ff=True, dim_ff=shape(state, after + "fn.w_1.weight", 2)[0],
                ff_intermediate=None if is_decoder or depth == 1 or width == channels else width)


def infer_projections(state, layers, heads, depth, is_decoder, given, prefix):
    first = layers.projection(state, 0, 0, "E")
    if first is None:
        raise InputError(f"lacks the projections {layers.key(0, 'fn.heads.0.E')} …: with method no_params linformer-pytorch"
                         " does not save them, and without them it is another model; expected E and F [input_size, dim_k]")
    sharing = infer_sharing(state, layers, heads, is_decoder)
    if first.dim() == 3:
        if missing := [prefix + key for key in ("input_size", "dim_k") if key not in given]:
            raise InputError(f"the kernels of a convolution do not say {' and '.join(missing)}; expected"
                             f" {' '.join(f'--set {key}=…' for key in missing)}")
        return dict(method="convolution", parameter_sharing=sharing, input_size=given["input_size"], dim_k=given["dim_k"])
    is_random = layers.key(0, "fn.heads.0.E") in state

    def sizes(attention):
        found = shape(state, layers.key(attention, "fn.heads.0.E" + ("" if is_random else ".weight")), 2)
        return found if is_random else found[::-1]

    n, k = sizes(0)
    inferred = dict(method="no_params" if is_random else "learnable", parameter_sharing=sharing, input_size=n, dim_k=k)
    if sharing != "layerwise" and depth > 1:
        inferred["k_reduce_by_layer"] = k - sizes(2 if is_decoder else 1)[1]
    return inferred


def infer_sharing(state, layers, heads, is_decoder):
    """The coarsest sharing that the values allow: they are drawn, so equal ones are one."""
    each = [[[layers.projection(state, a, h, name) for name in "EF"] for h in range(heads)]
            for a in range(len(layers.attentions))]
    if any(matrix is None for attention in each for head in attention for matrix in head):
        raise InputError(f"lacks some of the projections, such as {layers.key(0, 'fn.heads.0.E')} or F of all heads")
    same = lambda matrices: all(m.shape == matrices[0].shape and m.equal(matrices[0]) for m in matrices)
    if not all(same([head[i] for head in attention]) for attention in each for i in range(2)):
        return "none"
    if not all(same(attention[0]) for attention in each):
        return "headwise"
    ones = [attention[0][0] for attention in each]
    of_lengths = [ones[0::2], ones[1::2]] if is_decoder and ones[0].shape != ones[1].shape else [ones]
    return "layerwise" if all(same(group) for group in of_lengths) else "kv"


def projections(state):
    """(attention, name, key without suffix) of every E and F, and the number of attentions."""
    layers = Layers(state)
    heads = sum(layers.key(0, f"fn.to_q.{h}.weight") in state for h in range(len(state)))
    return [(attention, name, layers.key(attention, f"fn.heads.{head}.{name}")) for attention in range(len(layers.attentions))
            for head in range(heads) for name in "EF"]


SUFFIXES = ("", ".weight", ".bias")


def part_lacking(state):
    """Projections that are stored once. Whatever the sharing, the nearest that is there is the same: of the same attention
    and name, of the same attention, of the attentions of the same kind, of any."""
    every, lacking = projections(state), {}
    for suffix in SUFFIXES:
        found = [(attention, name, key + suffix) for attention, name, key in every if key + suffix in state]
        for attention, name, key in every:
            if found and key + suffix not in state:
                near = lambda other: (other[0] != attention, (other[0] - attention) % 2, other[1] != name)
                lacking[key + suffix] = min(found, key=near)[2]
    return lacking


def part_shared(state):
    """Projections with equal tensors: they are drawn, so equal ones are one."""
    groups = {}
    for _, _, key in projections(state):
        tensors = {suffix: state[key + suffix] for suffix in SUFFIXES if key + suffix in state}
        groups.setdefault(tuple((suffix, tuple(t.shape), t.float().numpy().tobytes()) for suffix, t in tensors.items()),
                          []).append(key)
    return [[key + suffix for key in keys] for like, keys in groups.items() for suffix, _, _ in like]


def parts_of(state):
    return {name: {key.removeprefix(name): tensor for key, tensor in state.items() if key.startswith(name)}
            for name in ("encoder.", "decoder.")}


def enc_dec_lacking(state):
    return {name + key: name + other for name, part in parts_of(state).items() for key, other in part_lacking(part).items()}


def enc_dec_shared(state):
    return [[name + key for key in group] for name, part in parts_of(state).items() for group in part_shared(part)]


def part_shapes(c, is_decoder=False, context=(None, None), has_logits=True):
    """context: length and width of what a decoder attends to."""
    m, h = c["channels"], c["nhead"]
    width, columns = c["emb_dim"] or m, c["dim_d"] or m // h
    prefix = "linformer." if width == m else "linformer.fn."
    sizes = {"to_token_emb.weight": (c["num_tokens"], width), "pos_emb.inv_freq": ((width + 1) // 2,)}
    if width != m:
        sizes |= linear("linformer.project_in", width, m) | linear("linformer.project_out", m, width)
    number = 0
    for layer in range(c["depth"]):
        between = c["ff_intermediate"] or m
        before, after = (m if layer == 0 else between), (m if layer == c["depth"] - 1 else between)
        for is_cross in (False, True)[:1 + is_decoder]:
            n, source = (context[0] or c["input_size"], context[1] or m) if is_cross else (c["input_size"], before)
            block = attention_shapes(c, layer, n, before, source, columns) | norm(before)
            sizes |= {f"{prefix}seq.{number}.{key}": size for key, size in block.items()}
            number += 1
            if c["include_ff"]:
                block = linear("fn.w_1", before, c["dim_ff"]) | linear("fn.w_2", c["dim_ff"], after) | norm(after)
                block |= linear("resample", before, after) if before != after else {}
                sizes |= {f"{prefix}seq.{number}.{key}": size for key, size in block.items()}
                number += 1
    return sizes | (linear("to_logits", width, c["num_tokens"]) if has_logits else {})


def attention_shapes(c, layer, n, width, source, columns):
    h, inner = c["nhead"], c["w_o_intermediate_dim"]
    # Layers that share a matrix have the whole of it.
    k = c["dim_k"] if c["parameter_sharing"] == "layerwise" else max(1, c["dim_k"] - layer * c.get("k_reduce_by_layer", 0))
    projection = {"learnable": {".weight": (k, n), ".bias": (k,)}, "no_params": {"": (n, k)},
                  "convolution": {".weight": (columns, columns, n // k), ".bias": (columns,)}}[c["method"]]
    sizes = {f"fn.heads.{i}.{name}{key}": size for i in range(h) for name in "EF" for key, size in projection.items()}
    sizes |= {f"fn.{name}.{i}.weight": (columns, of) for i in range(h)
              for name, of in (("to_q", width), ("to_k", source), ("to_v", source))}
    if inner is None:
        return sizes | linear("fn.w_o", h * columns, width)
    return sizes | linear("fn.w_o_1", h * columns, inner) | linear("fn.w_o_2", inner, width)


def linear(name, inputs, outputs):
    return {name + ".weight": (outputs, inputs), name + ".bias": (outputs,)}


def norm(width):
    return {"norm.weight": (width,), "norm.bias": (width,)}


# MARK: What shapes and keywords do not say


def check_sharing(config, inferred, prefix=""):
    given, found = (values[prefix + "parameter_sharing"] for values in (config, inferred))
    if SHARINGS.index(given) > SHARINGS.index(found):
        raise InputError(f'"{prefix}parameter_sharing" is "{given}", but the projections are not equal as with it, only as'
                         f' with "{found}"')


def part_from_peer(config, prefix=""):
    key = prefix + "k_reduce_by_layer"
    if config[prefix + "parameter_sharing"] == "layerwise" and config[key] > 0:
        config[key] = 0
        return [f"{key} is 0 here: linformer-pytorch does nothing with it where all layers share a projection"]
    return []


def check_layers(config):
    if config["pre_norm"]:
        raise InputError('"pre_norm" is true, but linformer-pytorch has norms after its layers only')
    if config["ff_gated"]:
        raise InputError('"ff_gated" is true, but linformer-pytorch has no gates')


def lm_from_peer(config, inferred):
    check_sharing(config, inferred)
    check_layers(config)
    for key in ("decoder_mode", "return_emb"):
        if config[key]:
            raise InputError(f'"{key}": true is no language model; expected false')
    if config["causal"] is True and not config["full_attention"]:
        raise InputError('"causal": true is the leak-free form, which linformer-pytorch has not; expected false or'
                         ' "compatible", its causal=True')
    return config, part_from_peer(config)


def part_to_peer(config, causal, prefix=""):
    """Lines about what the peer computes otherwise. causal: whether the peer's mask is on."""
    value = lambda key: config[prefix + key]
    width, reduces = value("emb_dim") or value("channels"), value("k_reduce_by_layer") > 0 and value("depth") > 1
    is_layerwise, n, k = value("parameter_sharing") == "layerwise", value("input_size"), value("dim_k")
    impossible = [
        (width % 2, f"an odd {prefix}emb_dim or {prefix}channels, {width}"),
        (is_layerwise and value("ff_intermediate"), f"{prefix}ff_intermediate with layerwise sharing"),
        (causal and reduces and not value("full_attention"), f"a causal mask with {prefix}k_reduce_by_layer"),
        (causal and value("method") == "convolution" and not value("full_attention") and n // (n // k) != k,
         f"a causal mask with a convolution whose {prefix}dim_k {k} does not divide {prefix}input_size {n}")]
    for is_wrong, what in impossible:
        if is_wrong:
            raise InputError(f"linformer-pytorch cannot do {what}")
    lines = []
    if is_layerwise and reduces:
        lines.append(f"linformer-pytorch does nothing with {prefix}k_reduce_by_layer where all layers share a projection: it"
                     " computes something else")
    if not value("use_pos_emb"):
        lines.append(f"linformer-pytorch has no {prefix}use_pos_emb, which is false here: it computes something else")
    if config["hide_masked_keys"] and value("full_attention"):
        lines.append("linformer-pytorch has no hide_masked_keys: it computes something else for masked batches")
    if value("method") == "no_params":
        lines.append("linformer-pytorch has E and F of no_params in no state dict: it loads this one with strict=False only,"
                     " and then they have to be put into its heads (Docs/parity.md, Moving checkpoints)")
    return lines


def lm_to_peer(config, inferred):
    check_sharing(config, inferred)
    check_layers(config)
    causal, is_full = config["causal"], config["full_attention"]
    lines = part_to_peer(config, causal is not False)
    if causal is True and not is_full:
        lines.append("linformer-pytorch has no leak-free causal attention, which this model has: config.json says causal"
                     " false, and it computes something else")
    peers = {key: value for key, value in config.items() if key not in OWN}
    return peers | dict(causal=causal == "compatible" or causal is True and is_full), lines


# MARK: Encoder and decoder


def parts(values):
    """The keywords of encoder and decoder."""
    return [{key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
            for prefix in ("enc_", "dec_")]


def infer_enc_dec(state, given):
    config = {}
    for name, prefix, its, is_decoder in zip(("encoder.", "decoder."), ("enc_", "dec_"), parts(given), (False, True)):
        own = {key.removeprefix(name): tensor for key, tensor in state.items() if key.startswith(name)}
        try:
            config |= {prefix + key: value for key, value in infer_part(own, its, is_decoder, prefix).items()}
        except InputError as error:
            raise InputError(f"{name[:-1]}: {error}") from None
    return config


def enc_dec_shapes(c):
    encoder, decoder = ({"k_reduce_by_layer": 0} | part for part in parts(c))
    context = encoder["input_size"], encoder["emb_dim"] or encoder["channels"]
    sizes = {"encoder.": part_shapes(encoder, has_logits=False), "decoder.": part_shapes(decoder, True, context)}
    return {prefix + key: size for prefix, part in sizes.items() for key, size in part.items()}


def enc_dec_from_peer(config, inferred):
    lines = []
    for prefix in ("enc_", "dec_"):
        check_sharing(config, inferred, prefix)
        lines += part_from_peer(config, prefix)
    if config["dec_causal"] is not False and config["dec_causal"] != "compatible":
        raise InputError('"dec_causal": true hides the target\'s future, which linformer-pytorch\'s mask does not; expected'
                         ' "compatible"')
    if config["start_token"] is None:
        lines.append("start_token is null: Generate and Evaluate need the token between source and target (--set"
                     " start_token=N)")
    return config, lines


def enc_dec_to_peer(config, inferred):
    encoder, decoder = parts(config)
    lines = []
    for prefix in ("enc_", "dec_"):
        check_sharing(config, inferred, prefix)
        lines += part_to_peer(config, prefix == "dec_", prefix)
    width = encoder["emb_dim"] or encoder["channels"]
    if (encoder["input_size"], width) != (decoder["input_size"], decoder["channels"]):
        raise InputError(f"linformer-pytorch needs encoder and decoder of one length and width; found {encoder['input_size']}"
                         f" and {decoder['input_size']} tokens, {width} and {decoder['channels']} columns")
    if config["dec_causal"] is True:
        lines.append("linformer-pytorch masks the decoder's attention to the encoder and not its own: it computes something"
                     " else")
    return {key: value for key, value in config.items() if key not in ENC_DEC_OWN}, lines


# MARK: The architecture

PART = dict(num_tokens=int, input_size=int, channels=int, dim_k=64, dim_ff=1024, dim_d=None, dropout_ff=0.1, nhead=4,
            depth=2, ff_intermediate=None, dropout=0.05, parameter_sharing="layerwise", k_reduce_by_layer=0,
            full_attention=False, include_ff=True, w_o_intermediate_dim=None, emb_dim=None, method="learnable")
SHARED = dict(activation="gelu", checkpoint_level="C0")
OWN = dict(use_pos_emb=True, hide_masked_keys=False, projection_start="xavier", context_size=None, context_channels=None,
           pre_norm=False, ff_gated=False)
ENC_DEC_OWN = dict(enc_use_pos_emb=True, dec_use_pos_emb=True, enc_dropout_tokens=0.1, dec_dropout_tokens=0.1,
                   hide_masked_keys=False, projection_start="xavier", dec_causal="compatible", start_token=None)
CHOICES = dict(parameter_sharing=SHARINGS, method=["learnable", "convolution", "no_params"])
SHARED_CHOICES = dict(activation=["gelu", "relu"], checkpoint_level=["C0", "C1", "C2"])
SIZES = ["num_tokens", "input_size", "channels", "dim_k", "dim_ff", "nhead", "depth"]
OPTIONAL_SIZES = ["dim_d", "ff_intermediate", "w_o_intermediate_dim", "emb_dim"]
LIMITS = {key: (1, 1 << 24) for key in SIZES + OPTIONAL_SIZES} | {
    "k_reduce_by_layer": (0, 1 << 24), "dropout": (0, 1), "dropout_ff": (0, 1), "dropout_tokens": (0, 1)}
AMBIGUOUS = {"dim_d", "emb_dim", "ff_intermediate", "k_reduce_by_layer", "parameter_sharing"}


def both(values):
    return {prefix + key: value for prefix in ("enc_", "dec_") for key, value in values.items()}


ENC_DEC = Architecture(
    "LinformerEncDec of linformer-pytorch", both(PART) | SHARED, ENC_DEC_OWN, "", both(CHOICES) | SHARED_CHOICES,
    both(LIMITS), infer_enc_dec, enc_dec_shapes, both({key: int for key in OPTIONAL_SIZES}) | dict(start_token=int),
    dict(dec_causal=[True, False]), frozenset(both(dict.fromkeys(AMBIGUOUS))), enc_dec_from_peer, enc_dec_to_peer,
    lacking=enc_dec_lacking, shared=enc_dec_shared)
LINFORMER = Architecture(
    "LinformerLM of linformer-pytorch",
    PART | SHARED | dict(dropout_tokens=0.1, return_emb=False, decoder_mode=False, causal=False), OWN, "",
    CHOICES | SHARED_CHOICES, LIMITS, infer_part, part_shapes,
    dict.fromkeys(OPTIONAL_SIZES + ["context_size", "context_channels"], int), dict(causal=["compatible"]),
    frozenset(AMBIGUOUS), lm_from_peer, lm_to_peer,
    lambda architecture, state: ENC_DEC if any(key.startswith("encoder.") for key in state) else architecture,
    roots=frozenset({"to_token_emb", "pos_emb", "linformer", "to_logits", "encoder", "decoder"}), lacking=part_lacking,
    shared=part_shared)
