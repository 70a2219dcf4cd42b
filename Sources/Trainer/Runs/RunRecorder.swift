import Foundation

/// Follows a training: keeps its record, so that nothing has to be read again, hands it on, and writes the samples.
struct RunRecorder {
    private var record: RunRecord
    private let samples: SamplesLog
    private let use: RunRecord.Use?

    /// - Parameters:
    ///   - step: the step from which training is resumed, 0 for a new run; metrics.jsonl ends with it.
    ///   - use: is called with the record where it is due.
    ///   - warn: is called with a sentence about the samples that cannot be read, which are removed.
    /// - Throws: `InputError` that names the file that cannot be read or written.
    init(
        _ folder: RunFolder, _ configuration: RunConfiguration, parameters: Int, resumingAfter step: Int,
        use: RunRecord.Use?, warn: (String) -> Void = { _ in }
    ) throws {
        self.use = use
        samples = try SamplesLog(path: folder.samplesPath, resumingAfter: step, warn: warn)
        record = RunRecord(
            name: folder.name, path: folder.path, configuration: configuration, parameters: parameters,
            metrics: try MetricsLog.read(path: folder.metricsPath),
            samples: try SamplesLog.read(path: folder.samplesPath))
    }

    /// Takes the metrics of a step, in place of any it has of that step or later ones.
    mutating func add(_ metrics: StepMetrics) {
        while let last = record.metrics.last, last.step >= metrics.step { record.metrics.removeLast() }
        record.metrics.append(metrics)
    }

    /// Takes a sample, and writes it down; passes over all other events, and over one drawn again after the same step.
    /// - Throws: `InputError` with the system's reason, such as a full disk.
    mutating func add(_ event: TrainingEvent) throws {
        guard case .sample(let step, let prompt, let text) = event, record.samples.last?.step != step else { return }
        let sample = Sample(step: step, prompt: prompt, text: text)
        record.samples.append(sample)
        try samples.append(sample)
    }

    /// Hands the record on. That a report of it cannot be written is no reason to stop.
    /// - Returns: a warning, where it could not.
    func report() -> TrainingEvent? {
        do {
            try use?(record)
            return nil
        } catch {
            return .warning("the report is not written: \(error)")
        }
    }
}
