"""What all architectures of convert_checkpoint.py are made of."""
from dataclasses import dataclass, field
from typing import Callable


class InputError(Exception):
    """What is wrong with a file, a key or an option, in one line."""


@dataclass(frozen=True)
class Architecture:
    peer: str
    defaults: dict  # the peer's keywords and their defaults; a type where there is none
    own: dict  # options of ours that the peer has not, and the values at which both compute the same
    own_matters: str  # where other values of them compute something else
    choices: dict  # the values of keywords that are strings
    limits: dict  # the least value of a number, and the first that is too large
    infer: Callable  # state dict, keywords given → the part of the configuration that shapes and keys say
    shapes: Callable  # configuration → the shape of every key
    optional: dict = field(default_factory=dict)  # the types of keywords whose default is None
    words: dict = field(default_factory=dict)  # words that keywords of another type take too
    ambiguous: frozenset = frozenset()  # keywords whose other values may have the same shapes
    # Configuration, what is inferred of it → configuration, lines to print: for what keywords and shapes do not say.
    from_peer: Callable = lambda config, inferred: (config, [])
    # The same → the peer's keywords, lines to print; an error for what the peer cannot be.
    to_peer: Callable | None = None
    variant: Callable = lambda architecture, state: architecture  # which of several kinds a state dict is of
    rename: Callable = lambda state: state  # other keys that a state dict may have, as those of `shapes`
    names: str = "the peer's other form"  # whose keys those of `shapes` are then
    restore: Callable = lambda state: state  # the peer's keys again
    keywords: Callable = lambda found: found  # the peer's own configuration in our keywords
    initial: dict = field(default_factory=dict)  # options of ours that only initial values know, and their defaults
    has_configuration: bool = False  # the peer writes its configuration beside its weights, as config.json
    roots: frozenset = frozenset()  # the first words of the keys
    # Keys that a state dict may lack, as another has their tensor: key → that other.
    lacking: Callable = lambda state: {}
    # Groups of keys that are one tensor in the peer's model.
    shared: Callable = lambda state: []


def shape(state, key, dimensions):
    if key not in state:
        raise InputError(f'"{key}" is missing; found {some(state)}')
    if state[key].dim() != dimensions:
        raise InputError(f'"{key}": expected {dimensions} dimensions, found the shape {list(state[key].shape)}')
    return tuple(state[key].shape)


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def multiple(inner, dim):
    """A multiple with int(dim * multiple * 2 / 3) == inner: a whole number where there is one."""
    whole = [m for m in range(1, 3 * inner // max(2 * dim, 1) + 2) if int(dim * m * 2 / 3) == inner]
    return float(whole[0]) if whole else 1.5 * (inner + 0.5) / dim


def some(names):
    """The first names of many."""
    names = sorted(map(str, names))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
