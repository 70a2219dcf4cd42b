/// The names in a checkpoint without what wrappers have put before them: `module.` (DataParallel), `_orig_mod.`
/// (torch.compile), `model.` (Lightning), in any order and depth, or the checkpoint that holds the weights beside an
/// optimizer (`state_dict.`, `model.`).
///
/// The rule: a word is taken off where all names begin with it and no key of the model does. Of a checkpoint that holds
/// more than weights, it is all names but those of what trainings are known to save beside them.
struct WrappedNames {
    /// The prefix that was taken off, with its dots; empty if there was none.
    private(set) var prefix = ""
    /// Entries beside the weights.
    private(set) var leftOut: [String] = []
    /// The names of the weights without the prefix.
    private(set) var names: [String]

    /// - Parameter keys: the model's, by any name that it knows.
    init(_ names: [String], keys: Set<String>) {
        self.names = names
        var inner = self
        while inner.unwrap(keys) {
            // Only what leads to a key of the model is a wrapper; the names of another model stay as they are.
            if inner.names.contains(where: keys.contains) { self = inner }
        }
    }

    /// Takes off one word, if there is one.
    private mutating func unwrap(_ keys: Set<String>) -> Bool {
        let words = Set(names.map(Self.firstWord))
        let wrappers = words.subtracting(Self.besideWeights)
        guard let word = wrappers.count == 1 ? wrappers.first : words.count == 1 ? words.first : nil,
            word.isEmpty == false, !keys.contains(where: { Self.firstWord($0) == word })
        else { return false }
        // Without anything beside the weights any word wraps; with it only one that is known to hold them.
        guard words.count == 1 || Self.containers.contains(word) else { return false }
        let inside = names.filter { $0.hasPrefix(word + ".") }
        guard !inside.isEmpty, inside.allSatisfy({ $0.utf8.count > word.utf8.count + 1 }) else { return false }
        let outside = names.filter { !$0.hasPrefix(word + ".") }
        guard outside.allSatisfy({ Self.firstWord($0) != word }) else { return false }
        leftOut = (leftOut + Set(outside.map(Self.firstWord))).sorted()
        names = inside.map { String($0.dropFirst(word.count + 1)) }
        prefix += word + "."
        return true
    }

    private static func firstWord(_ name: String) -> String { String(name.prefix { $0 != "." }) }

    private static let containers: Set<String> = ["state_dict", "model_state_dict", "model"]

    /// Entries that Lightning, nanoGPT and others save with the weights.
    private static let besideWeights: Set<String> = [
        "optimizer", "optimizers", "optimizer_state", "optimizer_states", "optimizer_state_dict", "optim", "scheduler",
        "schedulers", "lr_scheduler", "lr_schedulers", "scheduler_state_dict", "scaler", "grad_scaler", "epoch", "step",
        "global_step", "iter", "iter_num", "iteration", "best_val_loss", "best_loss", "loss", "loops", "callbacks",
        "rng_state", "hyper_parameters", "config", "args", "ema",
    ]
}
