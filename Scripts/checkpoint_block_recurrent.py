"""Block-recurrent transformers in convert_checkpoint.py: BlockRecurrentTransformer, also inside a RecurrentTrainerWrapper."""
import itertools
import json
import re

from checkpoint_base import Architecture, InputError, multiple, shape

BLOCK = re.compile(r"layers\.(\d+)\.0\.")
# What only options of ours have, and the option that has it.
OWN_KEYS = {"state_ff": "state_update", "ff_gate": "state_update", "feedback": "feedback",
            "relative_position_bias": "relative_position_bias"}


def infer(state, given):
    depth = 1 + max((int(m[1]) for key in state if (m := BLOCK.match(key))), default=-1)
    if depth == 0:
        raise InputError('no key begins with "layers."; expected the state dict of a BlockRecurrentTransformer')
    num_tokens, dim = shape(state, "token_emb.weight", 2)
    dim_head = shape(state, "layers.0.0.to_kv.weight", 2)[0] // 2
    inner = shape(state, "layers.0.0.to_q.weight", 2)[0]
    writes = [i for i in range(1, depth + 1) if f"layers.{i - 1}.0.state_container.init_state" in state]
    vectors = given.get("num_state_vectors")
    if writes:
        refuse_own(state, f"layers.{writes[0] - 1}.0.state_container.", dim)
        vectors = shape(state, f"layers.{writes[0] - 1}.0.state_container.init_state", 2)[0]
    others = [i for i in range(1, depth + 1) if i not in writes]
    compression = "mem_manager.layers.0.1.1.weight"
    is_compressed = compression in state or given.get("use_compressed_mem") is True and given.get("compressed_mem_factor") == 1
    found = dict(num_tokens=num_tokens, dim=dim, depth=depth, dim_head=dim_head, heads=inner // max(dim_head, 1),
                 ff_mult=multiple(shape(state, "layers.0.1.3.weight", 2)[1], dim),
                 num_state_vectors=vectors_said(vectors, given), use_compressed_mem=is_compressed,
                 **layers_said(writes, reads_of(state, depth, inner), given))
    if others:  # recurrent layers have these scales in any case
        found["all_layers_qk_rmsnorm"] = f"layers.{others[0] - 1}.0.attn.q_scale" in state
    if is_compressed:
        found["compressed_mem_factor"] = shape(state, compression, 3)[2] if compression in state else 1
    return found


def refuse_own(state, container, dim):
    """What the peer cannot be."""
    for key in sorted(state):
        option = next((option for part, option in OWN_KEYS.items() if f".{part}." in key), None)
        if option:
            raise InputError(f"has {key}, which is of {option}: nothing that block-recurrent-transformer-pytorch has")
    if f"{container}learned_ema_beta" not in state:
        raise InputError(f'lacks {container}learned_ema_beta: the gate "lstm" is nothing that'
                         " block-recurrent-transformer-pytorch has")


def reads_of(state, depth, inner):
    """How many states each layer reads."""
    widths = [shape(state, f"layers.{i}.0.to_out.weight", 2)[1] for i in range(depth)]
    return [width // max(inner, 1) - 1 for width in widths]


def vectors_said(vectors, given):
    """null where that is said: as many as the block has tokens."""
    is_null = given.get("num_state_vectors", vectors) is None and given.get("block_width", 512) == vectors
    return None if is_null else vectors


def layers_said(writes, reads, given):
    """recurrent_layers as they are said, if they say the same (null, or in another order), and what reads each of them, which
    the numbers of reads leave open where several layers could."""
    said = given.get("recurrent_layers", writes)
    depth = len(reads)
    order = said if said is not None and sorted(map(str, said)) == sorted(map(str, writes)) else writes
    places = [layer for layer, count in enumerate(reads, start=1) for _ in range(count)]
    pairs = sorted({pair for pair in itertools.permutations(places) if all(r <= w for r, w in zip(pair, writes))})
    if not pairs or len(places) != len(writes):
        raise InputError(f"the layers read {reads} states and {writes} write some; expected a layer for each that reads it,"
                         " not above it")
    is_null = said is None and writes == [max(depth // 2, 1)]
    found = dict(recurrent_layers=None if is_null else order)
    asked = given.get("read_recurrent_layers", 0)
    if asked in (0, None) and places == writes:
        return found | dict(read_recurrent_layers=None)
    reads_in_order = [[dict(zip(writes, pair))[layer] for layer in order] for pair in pairs]
    if asked in reads_in_order:
        return found | dict(read_recurrent_layers=asked)
    if len(pairs) > 1 and not asked:
        raise InputError(f"the weights do not say which of the layers {places} reads the states of which of {writes}; expected"
                         " --set read_recurrent_layers=[…]")
    return found | dict(read_recurrent_layers=reads_in_order[0])


def shapes(c):
    d, inner, s = c["dim"], c["dim_head"] * c["heads"], c["num_state_vectors"] or c.get("block_width", 512)
    writes = [max(c["depth"] // 2, 1)] if c["recurrent_layers"] is None else c["recurrent_layers"]
    reads = c["read_recurrent_layers"] or writes
    keys = {"token_emb.weight": (c["num_tokens"], d)} | norm("to_logits.0", d)
    keys["to_logits.1.weight"] = (c["num_tokens"], d)
    for i in range(c["depth"]):
        block = f"layers.{i}.0."
        keys |= norm(block + "norm", d) | feed_forward(f"layers.{i}.1", d, c["ff_mult"])
        keys |= {block + "to_q.weight": (inner, d), block + "to_kv.weight": (2 * c["dim_head"], d),
                 block + "to_out.weight": (d, inner * (1 + reads.count(i + 1)))}
        if i + 1 in writes or c.get("all_layers_qk_rmsnorm"):
            keys |= scales(block + "attn", c["dim_head"])
        if i + 1 in writes:
            keys |= container(block + "state_container.", d, inner, s, c["dim_head"])
        if c["use_compressed_mem"] and c.get("compressed_mem_factor", 4) > 1:
            name, e = f"mem_manager.layers.{i}.1.1.", c["dim_head"]
            keys |= {name + "weight": (2 * e, e, c.get("compressed_mem_factor", 4)), name + "bias": (2 * e,)}
    return keys


def container(name, d, inner, s, dim_head):
    keys = {name + "init_state": (s, d), name + "state_pos_ids": (s, d), name + "learned_ema_beta": (d,)}
    keys |= {f"{name}{part}.weight": (inner, d) for part in ("q_to_state", "q_from_state", "state_to_q")}
    keys |= {name + "state_to_kv.weight": (2 * dim_head, d), name + "to_state_out.weight": (d, 2 * inner),
             name + "state_out_to_gate.weight": (d, d), name + "state_out_to_gate.bias": (d,)}
    for part in ("to_state_cross_attn", "state_self_attn", "from_state_cross_attn"):
        keys |= scales(name + part, dim_head)
    return keys | norm(name + "state_norm", d)


def scales(name, dim_head):
    return {f"{name}.q_scale": (dim_head,), f"{name}.k_scale": (dim_head,)}


def norm(name, width):
    return {f"{name}.gamma": (width,), f"{name}.beta": (width,)}


def feed_forward(name, d, mult):
    hidden = int(d * mult * 2 / 3)
    return norm(name + ".0", d) | {f"{name}.1.weight": (2 * hidden, d), f"{name}.3.weight": (d, hidden)}


def from_peer(config, inferred):
    """Options of ours that other weights would go with."""
    if config["kv_heads"] not in (None, 1):
        raise InputError(f'"kv_heads" is {config["kv_heads"]}, but block-recurrent-transformer-pytorch has one head of keys and'
                         " values")
    for key in OF_WEIGHTS:
        if config[key] != OWN[key]:
            raise InputError(f'"{key}" is {json.dumps(config[key])}, but the weights are those of {json.dumps(OWN[key])}')
    return {key: value for key, value in config.items() if key != "use_flash_attn"}, []


def to_peer(config, inferred):
    """Leaves out our own options, and says which make the peer compute something else."""
    from_peer(config, inferred)
    lines = [f"block-recurrent-transformer-pytorch has no {key}, which is {json.dumps(config[key])} here: it computes something"
             " else" for key in OF_NUMBERS if config[key] != OWN[key]]
    peers = {key: value for key, value in config.items() if key not in OWN and key not in INITIAL}
    if peers["depth"] == 1 and peers["recurrent_layers"] is None:
        peers["recurrent_layers"] = [1]  # the peer's middle of one layer is none
    return peers, lines


# And the peer's way of computing the same.
OWN = dict(use_flash_attn=False, qk_rmsnorm_scale=None, gate="fixed", state_update="skip", feedback=False, attention_window=None,
           state_window=None, xl_memories_dropout=0.0, state_dropout=0.0, learned_temperatures=False, kv_heads=None,
           direct_write=False, forget_bias=None, relative_position_bias=False)
INITIAL = dict(init_state_scale=0.1, state_ids_scale=1.0)
# Options of which other weights would be.
OF_WEIGHTS = ("gate", "state_update", "feedback", "learned_temperatures", "direct_write", "relative_position_bias")
OF_NUMBERS = ("qk_rmsnorm_scale", "attention_window", "state_window")
SIZES = ("num_tokens", "dim", "depth", "dim_head", "heads", "max_seq_len", "block_width", "num_state_vectors",
         "compressed_mem_factor", "attention_window", "state_window")

BLOCK_RECURRENT = Architecture(
    "BlockRecurrentTransformer of block-recurrent-transformer-pytorch",
    dict(num_tokens=int, dim=int, depth=int, dim_head=64, heads=8, all_layers_qk_rmsnorm=False, ff_mult=4.0, max_seq_len=1024,
         block_width=512, recurrent_layers=None, read_recurrent_layers=None, num_state_vectors=None, ignore_index=-100,
         use_compressed_mem=False, compressed_mem_factor=4),
    OWN, "", dict(gate=("fixed", "lstm"), state_update=("skip", "single", "dual")),
    {key: (1, 1 << 31) for key in SIZES},
    infer, shapes,
    dict(recurrent_layers=list, read_recurrent_layers=list, num_state_vectors=int, qk_rmsnorm_scale=float,
         attention_window=int, state_window=int, kv_heads=int, forget_bias=float),
    initial=INITIAL, from_peer=from_peer, to_peer=to_peer, roots=frozenset({"token_emb", "to_logits", "layers", "mem_manager"}))
