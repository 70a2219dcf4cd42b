import Foundation
import ModelZoo
import NN

/// Hints at the option meant by one that does not exist: the parser knows only similar spellings.
enum OptionHint {
    /// Other names of options, as other programs have them; of several options, the first that a command has is meant.
    private static let meanings: [String: [String]] = [
        "lr": ["learning-rate"], "rate": ["learning-rate"], "min-lr": ["learning-rate-floor"],
        "lr-min": ["learning-rate-floor"], "lr-scheduler": ["schedule"], "lr-schedule": ["schedule"],
        "lr-decay": ["schedule"], "scheduler": ["schedule"], "warmup-steps": ["warmup"], "warmup-iters": ["warmup"],
        "wd": ["weight-decay"], "decay": ["weight-decay"], "betas": ["beta1"], "optim": ["optimizer"],
        "grad-clip": ["clip"], "max-grad-norm": ["clip"], "clip-grad": ["clip"], "clip-norm": ["clip"],
        "bs": ["batch-size"], "batch": ["batch-size", "batch"], "grad-accum": ["accumulate"],
        "gradient-accumulation-steps": ["accumulate"], "iters": ["steps"], "iterations": ["steps"],
        "max-steps": ["steps"], "max-iters": ["steps"], "num-steps": ["steps"], "num-epochs": ["epochs"],
        "max-epochs": ["epochs"], "time": ["minutes"], "hours": ["minutes"], "context": ["sequence-length", "length"],
        "context-length": ["sequence-length"], "block-size": ["sequence-length"], "seq-len": ["sequence-length"],
        "max-seq-len": ["sequence-length"], "window": ["sequence-length"], "n-ctx": ["sequence-length"],
        "dataset": ["data", "text"], "train": ["data"], "file": ["data", "text", "prompt-file"],
        "input": ["data", "prompt-file", "text"], "corpus": ["data"], "text": ["data", "prompt"],
        "val": ["validation"], "valid": ["validation"], "eval-data": ["validation"],
        "val-split": ["validation-fraction"],
        "eval-interval": ["validate-every"], "eval-every": ["validate-every"], "checkpoint-every": ["save-every"],
        "save-interval": ["save-every"], "output": ["out", "output"], "out-dir": ["out"], "output-dir": ["out"],
        "logdir": ["out"], "continue": ["resume"], "checkpoint": ["resume", "run", "weights"],
        "ckpt": ["resume", "run", "weights"], "arch": ["model"], "architecture": ["model"], "loss": ["objective"],
        "task": ["objective"], "vocab": ["tokenizer"], "workers": ["threads"], "jobs": ["threads"], "cpus": ["threads"],
        "num-threads": ["threads"], "silent": ["quiet"], "dtype": ["weights-as"], "precision": ["weights-as"],
        "quantize": ["weights-as"], "temp": ["temperature"], "max-tokens": ["length"], "max-new-tokens": ["length"],
        "num-tokens": ["length"], "tokens": ["length"], "n-predict": ["length"], "n": ["length"], "p": ["prompt"],
        "start": ["prompt"], "stop-sequence": ["stop"], "stop-token": ["stop"], "eos": ["stop"], "end-token": ["stop"],
        "random-seed": ["seed"], "state": ["load-state"],
    ]

    /// All that hints name.
    static var options: Set<String> { Set(meanings.values.joined()) }

    /// A parser's message with what was meant in place of what is spelled alike.
    /// - Parameter help: the command's help, which names all its options.
    static func improved(_ message: String, help: String) -> String {
        guard let match = message.firstMatch(of: #/^Unknown option '-{1,2}(?<name>[^'=]+)[^']*'/#) else {
            return message
        }
        let name = match.output.name.lowercased().replacing("_", with: "-")
        guard let option = meanings[name]?.first(where: { has($0, help) }) else { return message }
        return "\(match.output.0). Did you mean '--\(option)'?"
    }

    private static func has(_ option: String, _ help: String) -> Bool {
        help.split { !$0.isLetter && !$0.isNumber && $0 != "-" }.contains("--\(option)")
    }
}
