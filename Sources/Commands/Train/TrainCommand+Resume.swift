import ModelZoo

extension TrainCommand {
    func goOn(_ folder: RunFolder, _ host: TrainingHost) throws -> Outcome {
        try refuse(
            [
                ("--preset", preset != nil), ("--config", config != nil), ("--documents", documents != nil),
                ("--corpus-length", corpusLength != nil), ("--corpus-seed", corpusSeed != nil),
                ("--order", order != nil), ("--objective", objective != nil),
                ("--validation-fraction", validationFraction != nil),
                ("--sequence-length", sequenceLength != nil), ("--batch-size", batchSize != nil),
                ("--accumulate", accumulate != nil), ("--optimizer", optimizer != nil),
                ("--schedule", schedule != nil), ("--warmup", warmup != nil),
                ("--learning-rate-floor", learningRateFloor != nil), ("--weight-decay", weightDecay != nil),
                ("--beta1", beta1 != nil), ("--beta2", beta2 != nil), ("--momentum", momentum != nil),
                ("--dropout", dropout != nil), ("--seed", seed != nil), ("--out", out != nil),
            ], "cannot be combined with --resume, whose folder says it already")
        let saved = try folder.configuration()
        for (name, given, used) in [
            ("--model", model, saved.origin.model), ("--tokenizer", tokenizer, saved.tokenizer.rawValue),
        ] {
            guard let given, given != used else { continue }
            throw InputError("\(name) \(given): the run in \(folder.path) was made with \(name) \(used)")
        }
        if threads == nil { Threads.count = saved.threads }
        var origin = saved.origin
        if origin.corpus != nil {
            try refuse(
                [("--data", !data.isEmpty), ("--validation", validation != nil)],
                "the run in \(folder.path) is trained on the built-in corpus")
        }
        // The text may have moved.
        if !data.isEmpty { origin.data = data }
        if let validation { origin.validation = validation }
        let tokenizer = try folder.tokenizer()
        let split = try origin.makeSplit(tokenizer, sequenceLength: saved.training.sequenceLength)
        return try goOn(
            folder.makeModel(saved), in: folder, on: split, tokenizer: tokenizer, length: try length(), host)
    }

    private func goOn(
        _ model: some LanguageModel, in folder: RunFolder, on split: DataSplit, tokenizer: any Tokenizer,
        length: TrainingLength?, _ host: TrainingHost
    ) throws -> Outcome {
        host.prepared()
        let run = try TrainingRun(
            resuming: folder, model, on: split, tokenizer: tokenizer,
            changing: { options in
                if let length { options.length = length }
                if let learningRate { options.learningRate = learningRate }
                if let clip { options.clip = clip == 0 ? nil : clip }
                applyIntervals(to: &options)
            }, recording: { try RunReport($0).write() })
        // A run that was killed in its last save comes to its end only now.
        guard !run.isFinished || run.finishedCutSave else {
            throw InputError(
                "\(folder.path): has finished with step \(run.step) already; expected a larger --steps, --epochs or"
                    + " --minutes, counted from the beginning of the run")
        }
        return try train(run, host)
    }

    /// The arguments that resume a run which was stopped: its folder says all but where a text is that has moved.
    func argumentsToGoOn(with folder: String) -> [String] {
        var arguments = ["--resume", folder.pathArgument]
        if resume != nil {
            if !data.isEmpty { arguments += ["--data"] + data }
            if let validation { arguments += ["--validation", validation] }
        }
        return arguments
    }
}
