import ModelZoo

extension Train {
    func goOn(_ folder: RunFolder, _ host: TrainingHost) throws -> Outcome {
        let text = textOptions
        let others = [
            ("--preset", preset != nil), ("--config", config != nil), ("--documents", text.documents != nil),
            ("--corpus-length", text.corpusLength != nil), ("--corpus-seed", text.corpusSeed != nil),
            ("--validation-fraction", text.validationFraction != nil), ("--dropout", stepOptions.dropout != nil),
            ("--out", out != nil),
        ]
        try refuse(
            others + beginningOptions.given + settings.filter { !$0.isForResumed }.map { ($0.flag, $0.isGiven) },
            "cannot be combined with --resume, whose folder says it already")
        let saved = try folder.configuration()
        try saved.requireText(folder)
        let tokenizer = try folder.tokenizer()
        for (name, given, used) in [
            ("--model", model, saved.origin.model),
            ("--tokenizer", text.tokenizer, TokenizerChoice.text(of: tokenizer)),
        ] {
            guard let given, given != used else { continue }
            throw InputError("\(name) \(given): the run in \(folder.path) was made with \(name) \(used)")
        }
        if threads == nil { Threads.count = saved.threads }
        var origin = saved.origin
        if origin.corpus != nil {
            try refuse(
                [("--data", !text.data.isEmpty), ("--validation", text.validation != nil)],
                "the run in \(folder.path) is trained on the built-in corpus")
        }
        // The text may have moved.
        if !text.data.isEmpty { origin.data = text.data }
        if let validation = text.validation { origin.validation = validation }
        let split = try origin.makeSplit(tokenizer, sequenceLength: saved.training.sequenceLength)
        return try goOn(
            folder.makeModel(saved), in: folder, on: split, tokenizer: tokenizer, length: try stepOptions.length(), host
        )
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
                for setting in settings where setting.isForResumed { try setting.apply(&options) }
            }, recording: { try RunReport($0).write() })
        // A run that was killed in its last save comes to its end only now.
        guard !run.isFinished || run.finishedCutSave else {
            if run.isStoppedEarly {
                throw InputError(
                    "\(folder.path): has stopped early with step \(run.step); expected a larger --patience")
            }
            throw InputError(
                "\(folder.path): has finished with step \(run.step) already; expected a larger --steps, --epochs or"
                    + " --minutes, counted from the beginning of the run")
        }
        return try finish(run, host)
    }

    /// The arguments that resume a run which was stopped: its folder says all but where a text is that has moved.
    func argumentsToGoOn(with folder: String) -> [String] {
        var arguments = ["--resume", folder.pathArgument]
        if resume != nil {
            if !textOptions.data.isEmpty { arguments += ["--data"] + textOptions.data }
            if let validation = textOptions.validation { arguments += ["--validation", validation] }
        }
        return arguments
    }
}
