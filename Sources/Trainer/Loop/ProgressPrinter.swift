/// Chooses what people are shown of a training: everything but steps that come faster than they can be read.
public struct ProgressPrinter {
    private let interval: Double
    private var latest: ContinuousClock.Instant?

    /// - Parameter interval: the least number of seconds between two lines of steps without a validation.
    public init(interval: Double = 1) { self.interval = interval }

    /// The lines for an event; nil when it is passed over.
    public mutating func text(for event: TrainingEvent) -> String? {
        guard case .step(let metrics, let total) = event else { return event.description }
        let now = ContinuousClock.now
        let isDue = latest.map { (now - $0) / .seconds(1) >= interval } ?? true
        guard isDue || metrics.step == total || metrics.extra["validation_loss"] != nil else { return nil }
        latest = now
        return event.description
    }
}
