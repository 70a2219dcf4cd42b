import ModelZoo

/// One option of a training, as a command line gives it.
struct TrainingSetting {
    /// The flag, "--warmup".
    let flag: String
    /// False where the training keeps what it has.
    let isGiven: Bool
    /// True if a run may be resumed with another value.
    let isForResumed: Bool
    /// Changes a training's options, where the option is given.
    let apply: (inout TrainingOptions) throws -> Void

    /// An option with a meaning of its own.
    init(
        _ flag: String, isGiven: Bool, isForResumed: Bool = false,
        apply: @escaping (inout TrainingOptions) throws -> Void
    ) {
        (self.flag, self.isGiven, self.isForResumed, self.apply) = (flag, isGiven, isForResumed, apply)
    }

    /// The value of a property.
    init<Value>(
        _ flag: String, _ value: Value?, _ property: WritableKeyPath<TrainingOptions, Value>, isForResumed: Bool = false
    ) {
        self.init(flag, isGiven: value != nil, isForResumed: isForResumed) { options in
            if let value { options[keyPath: property] = value }
        }
    }

    /// The word for a property's value.
    init<Word: RawRepresentable<String> & CaseIterable>(
        _ flag: String, _ word: String?, _ property: WritableKeyPath<TrainingOptions, Word>
    ) {
        self.init(flag, isGiven: word != nil) { options in
            if let word { options[keyPath: property] = try option(flag, word) }
        }
    }
}
