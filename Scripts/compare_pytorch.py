#!/usr/bin/env python3
"""Compare a model's speed and memory with those of the PyTorch package it agrees with.

usage: Scripts/compare-pytorch MODEL [options]

Sets up the packages (Scripts/setup-peers), builds Bench in release, then runs the two in turn, each in a process of its
own, with the same number of threads: training on the reference configuration (fastest step of each run after a warm-up;
fast-weights also in rows of 1024 tokens) and greedy generation after a prompt, which is not counted (block-recurrent,
fast-weights and flash 512 tokens, local 1024; the reference of linformer is bidirectional on both sides and generates nothing). Each run of one is
paired with the run of the other beside it, so that a machine that slows down slows both: the ratio is the median over the
pairs, with the smallest and the largest. The table says so where other processes were busy meanwhile. --set changes a key
of the configuration on both sides, such as --set num_residual_streams=1 for local.
--compile compares training with the peer as torch.compile translates it, where it can; --dtype bf16 with the peer under
autocast to bfloat16 (the zoo stays in float32). The table names the kernels of both sides; where OpenBLAS's are less than the
processor has, and nobody asked for that (OPENBLAS_CORETYPE), there is no table.
With --lengths also how the zoo's own time per token grows with the sequence (fast-weights, flash and linformer 1024 against
16384 in training, block-recurrent and local 2048 against 32768, the same number of tokens in a step) and with the position (512 against 8192 in
generation).
"""
import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

sys.dont_write_bytecode = True
from bench_peers import PEERS, positive, setting

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(SCRIPTS)
LENGTH = 64  # tokens generated in a run


@dataclass(frozen=True)
class Lengths:
    prompt: int | None  # against the peer; None where the reference does not generate
    training: tuple  # short and long
    generation: tuple = (512, 8192)
    sizes: tuple = ((None, None),)  # of training against the peer: sequence and batch, None for the reference's
    zoo: tuple = ()  # --set for the zoo alone: where its reference does what the peer's model leaves to somebody else


# Segments that forget what came before are less work.
REMEMBERING = (("xl_memories_dropout", 0), ("state_dropout", 0))
LENGTHS = {"block-recurrent": Lengths(512, (2048, 32768), zoo=REMEMBERING),
           "fast-weights": Lengths(512, (1024, 16384), sizes=((128, 16), (1024, 2))),
           "flash": Lengths(512, (1024, 16384)), "linformer": Lengths(None, (1024, 16384)),
           "local": Lengths(1024, (2048, 32768))}


def fail(message):
    sys.exit("compare-pytorch: " + message)


def progress(message):
    print(message, file=sys.stderr, flush=True)


# MARK: Running


def run(command, timeout, environment=None):
    """The standard output of a command; stops with one line where it fails."""
    shown = " ".join(map(str, command))
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, **(environment or {})})
    except FileNotFoundError:
        fail(f"{command[0]} was not found")
    except subprocess.TimeoutExpired:
        fail(f"no answer after {timeout} s (--timeout): {shown}")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        fail(f"exit {done.returncode} of {shown}: {said}")
    return done.stdout


class Runner:
    """Runs benchmarks and watches what other processes take of the machine meanwhile.

    One busy process on a core that the two threads of PyTorch count on makes its steps up to thirty times slower
    (OpenMP's threads wait for each other spinning): a ratio taken then says nothing.
    """

    QUIET = 0.1  # CPUs; the system's own housekeeping stays below

    def __init__(self, options):
        self.options = options
        self.others = 0.0  # the most that other processes took during a run, in CPUs

    def measure(self, command, needed):
        """The JSON object that a benchmark prints, with `needed` as positive numbers in it."""
        busy, own, start = machine_seconds(), children_seconds(), time.monotonic()
        output = run(command, self.options.timeout, {"OMP_NUM_THREADS": str(self.options.threads)})
        if reason := json.loads(output or "{}").get("does_not_compile"):
            fail(f"torch.compile cannot translate {self.options.model}'s peer: {reason}")
        others = (machine_seconds() - busy - children_seconds() + own) / (time.monotonic() - start)
        if others > self.QUIET:
            progress(f"    other processes took {others:.1f} CPUs meanwhile")
        self.others = max(self.others, others)
        return checked(output, needed, command)

    def in_turn(self, label, commands, needed):
        """Runs both commands one after the other, `--runs` times; the results of each."""
        results = {side: [] for side in commands}
        for i in range(self.options.runs):
            for side, command in commands.items():
                progress(f"{label}, run {i + 1} of {self.options.runs}: {side}")
                results[side].append(self.measure(command, needed))
        return results.values()


def machine_seconds():
    """CPU seconds that anything has taken since the start of the machine (0 where there is no /proc)."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except OSError:
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def checked(output, needed, command):
    shown = " ".join(command)
    try:
        result = json.loads(output)
        missing = [key for key in needed if not float(result.get(key, 0)) > 0]
    except (ValueError, TypeError, AttributeError):
        fail(f"expected one JSON object from {shown}, got: {output.strip()[:200]!r}")
    if missing:
        fail(f"expected numbers above 0 for {', '.join(missing)} from {shown}")
    return result


def set_up_peers(options):
    script = os.path.join(SCRIPTS, "setup-peers")
    progress(f"setting up the PyTorch packages in {options.peers}")
    run([script, options.peers], options.timeout)
    return os.path.join(options.peers, "bin", "python")


def build_bench(options):
    progress("building Bench (release)")
    build = ["swift", "build", "-c", "release", "--product", "Bench"]
    run(build, options.timeout)
    return os.path.join(run(build + ["--show-bin-path"], options.timeout).strip(), "Bench")


# MARK: Measures


@dataclass
class Row:
    """One measure of two sides, a value a run; run i of one is paired with run i of the other."""

    measure: str
    first: list
    second: list
    ratio_name: str

    @property
    def ratios(self):
        return [b / a for a, b in zip(self.first, self.second)]

    def cells(self):
        low, middle, high = min(self.ratios), statistics.median(self.ratios), max(self.ratios)
        return [self.measure, number(statistics.median(self.first)), number(statistics.median(self.second)),
                f"{middle:.2f} ({low:.2f}–{high:.2f})"]

    def described(self, sides):
        ratio = {"median": statistics.median(self.ratios), "min": min(self.ratios), "max": max(self.ratios)}
        return {"measure": self.measure, sides[0]: self.first, sides[1]: self.second, self.ratio_name: ratio}


def number(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def rows(label, keys, results, ratio_name):
    first, second = results
    return [Row(f"{label}, {words}", [convert(r[key]) for r in first], [convert(r[key]) for r in second], ratio_name)
            for key, (words, convert) in keys.items()]


# A key of the benchmarks' JSON: what the table calls it, and how its value becomes the one shown.
TRAINING = {"tokens_per_second": ("tokens/s", float), "step_seconds": ("seconds a step", float),
            "forward_seconds": ("seconds forward", float), "peak_memory_mb": ("peak memory, MB", float)}
GENERATION = {"tokens_per_second": ("tokens/s", float), "peak_memory_mb": ("peak memory, MB", float)}
PER_TOKEN = {"tokens_per_second": ("ms/token", lambda rate: 1000 / rate)}


def compare(runner, python, bench, options):
    """Rows of peer against zoo; every ratio is zoo / peer."""
    peer = lambda mode, *more: [python, os.path.join(SCRIPTS, "bench_peers.py"), mode, options.model,
                                "--threads", str(options.threads), "--dtype", options.dtype, *changed(options), *more]
    measures = [("training", "train", TRAINING, ["--steps", str(options.steps)]) if n is None else
                (f"training, {batch} × {n}", "train", TRAINING, ["--steps", str(options.steps), *size(n, batch)])
                for n, batch in LENGTHS[options.model].sizes]
    if (prompt := LENGTHS[options.model].prompt) and not options.compile:
        after_prompt = ["--prompt-length", str(prompt), "--length", str(LENGTH)]
        measures.append((f"generation after {prompt}", "generate", GENERATION, after_prompt))
    result = []
    for label, mode, keys, more in measures:
        compiled = ["--compile"] if options.compile else []
        commands = {"peer": peer(mode, *more, *compiled), "zoo": zoo(bench, mode, options, *more)}
        peers, zoos = runner.in_turn(label, commands, keys)
        options.peer_kernels = peers[0].get("kernels", "unknown")
        result += rows(label, keys, (peers, zoos), "zoo / peer")
    return result


def compare_lengths(runner, bench, options):
    """Rows of the zoo at a short length against itself at a long one; every ratio is long / short."""
    lengths = LENGTHS[options.model]
    # As many tokens in a step of the short sequences as in one of the long: the optimizer's share must not differ.
    train = lambda n: zoo(bench, "train", options, "--steps", str(options.steps), *size(n, lengths.training[1] // n))
    generate = lambda n: zoo(bench, "generate", options, "--prompt-length", str(n), "--length", str(LENGTH))
    measures = [("training", train, lengths.training)]
    if lengths.prompt:
        measures.append(("generation", generate, lengths.generation))
    result = []
    for label, command, (short, long) in measures:
        label = f"{label}, {short} against {long}"
        commands = {str(short): command(short), str(long): command(long)}
        result += rows(label, PER_TOKEN, runner.in_turn(label, commands, PER_TOKEN), "long / short")
    return result


def size(sequence, batch):
    return ["--sequence-length", str(sequence), "--batch-size", str(batch)]


def changed(options):
    """The --set options, for either side."""
    return [word for key, value in options.set for word in ("--set", f"{key}={json.dumps(value)}")]


def zoo(bench, mode, options, *more):
    own = [word for key, value in LENGTHS[options.model].zoo for word in ("--set", f"{key}={json.dumps(value)}")]
    return [bench, mode, "--model", options.model, "--preset", "reference", *own, *changed(options), *more,
            "--threads", str(options.threads), "--json"]


def checked_kernels(bench, options):
    """The kernels that the zoo multiplies with; stops where they are a fallback, whose ratios would say nothing."""
    machine = json.loads(run([bench, "machine", "--quick", "--json"], options.timeout))
    if machine["reason"] != "variable" and (machine["kernels_below_processor"] or not machine["check_passed"]):
        fail(f"OpenBLAS multiplies with {machine['kernels']} where the processor has {machine['instructions']}: "
             f"{'; '.join(machine['warnings']) or 'see Bench machine'}")
    return machine["kernels"]


# MARK: Output


def table(heading, rows):
    lines = [heading] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heading))]
    for line in lines:
        yield "  ".join([line[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(line[1:], widths[1:])])


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def parse():
    parser = argparse.ArgumentParser(prog="compare-pytorch", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(PEERS))
    parser.add_argument("--runs", type=positive, default=3, help="pairs of runs, at least 3 (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=2, help="for both sides (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=3, help="training steps in a run (default: %(default)s)")
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="KEY=VALUE",
                        help="a key of the configuration for both sides; may be repeated")
    parser.add_argument("--compile", action="store_true", help="training against the peer under torch.compile")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32",
                        help="bf16: the peer under autocast (default: %(default)s)")
    parser.add_argument("--lengths", action="store_true", help="time per token at short and long sequences too")
    parser.add_argument("--peers", metavar="FOLDER", default=os.path.expanduser("~/.cache/attention-zoo-peers"),
                        help="environment of the PyTorch packages (default: %(default)s)")
    parser.add_argument("--timeout", type=positive, default=3600, help="seconds a run may take (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    if options.runs < 3:
        parser.error(f"--runs {options.runs}: expected at least 3, single runs differ too much from each other")
    options.peers = os.path.abspath(options.peers)
    return options


def main():
    options = parse()
    python, bench, runner = set_up_peers(options), build_bench(options), Runner(options)
    kernels = checked_kernels(bench, options)
    compared = compare(runner, python, bench, options)
    lengths = compare_lengths(runner, bench, options) if options.lengths else []
    about = {"model": options.model, "threads": options.threads, "runs": options.runs, "processor": processor(),
             "dtype": options.dtype, "compiled": options.compile, "kernels": kernels,
             "peer_kernels": options.peer_kernels, "set": dict(options.set), "date": datetime.date.today().isoformat(),
             "other_processes_cpus": round(runner.others, 2)}
    if options.json:
        about["rows"] = [row.described(("peer", "zoo")) for row in compared]
        about["lengths"] = [row.described(("short", "long")) for row in lengths]
        print(json.dumps(about, indent=1))
        return
    settings = "".join(f", {key} {json.dumps(value)}" for key, value in options.set)
    side = ("compiled" if options.compile else "eager") + (", autocast to bfloat16" if options.dtype == "bf16" else "")
    print(f"{options.model}, reference configuration{settings}, float32, peer {side}, {options.threads} threads, "
          f"{options.runs} paired runs, {about['processor']}, kernels {options.peer_kernels} (peer) and {kernels} (zoo), "
          f"{about['date']}\n")
    print("\n".join(table(["median", "peer", "zoo", "zoo / peer (min–max)"], compared)))
    if lengths:
        print("\n" + "\n".join(table(["median", "short", "long", "long / short (min–max)"], lengths)))
    if runner.others > Runner.QUIET:
        print(f"\nOther processes took up to {runner.others:.1f} CPUs meanwhile: measure again on a quiet machine.")


if __name__ == "__main__":
    main()
