import Foundation
import Tensors

/// The learning rate of each step.
///
/// All schedules rise linearly to the peak during warm-up: step t of w warm-up steps has peak · t / w, so that step w
/// has the peak itself. Steps count from 1.
public struct LearningRateSchedule: Sendable, Hashable {
    /// The course after the warm-up, by the names that configurations have.
    public enum Shape: String, CaseIterable, Sendable {
        /// The peak for ever.
        case constant
        /// Half a cosine from the peak at the last step of the warm-up to `floor` · peak at the last step of all, and
        /// that from there on. (Loshchilov, Hutter: "SGDR", 1608.03983, without restarts.)
        case cosine
        /// peak · √(w / t): "Attention Is All You Need" (1706.03762), section 5.3, has
        /// factor · d_model^−0.5 · min(t^−0.5, t · w^−1.5); the two terms are equal at t = w, where this schedule is
        /// normalized to the peak. `noamPeak` gives the peak that a factor stands for.
        case noam
    }

    /// The curve after the warm-up.
    public let shape: Shape
    /// The greatest learning rate, reached at the end of the warm-up.
    public let peak: Double
    /// The number of warm-up steps; 0 for none.
    public let warmupSteps: Int
    /// The number of steps of the whole training; only `cosine` looks at it.
    public let totalSteps: Int?
    /// The end of `cosine`, as a share of the peak.
    public let floor: Double

    /// - Throws: `OptionError` that names the property that cannot be, or the one that is missing.
    public init(
        _ shape: Shape, peak: Double, warmupSteps: Int = 0, totalSteps: Int? = nil, floor: Double = 0
    ) throws {
        try OptionLimits.positive.check("peak", peak)
        try (0...Int.max).check("warmupSteps", warmupSteps)
        try OptionLimits.fraction.check("floor", floor)
        let mention: OptionText = "\(option: "shape", shape.rawValue)"
        if shape == .noam, warmupSteps == 0 {
            throw OptionError(
                "warmupSteps", "expected at least 1 for \(mention), which falls from the warm-up on, found 0")
        }
        if shape == .cosine {
            guard let totalSteps else {
                throw OptionError(
                    "shape", is: shape.rawValue, "needs to know the number of steps; expected \(option: "totalSteps")")
            }
            guard totalSteps > warmupSteps else {
                throw OptionError(
                    "warmupSteps", "expected fewer than the \(totalSteps) steps of \(mention), found \(warmupSteps)")
            }
        }
        self.shape = shape
        self.peak = peak
        self.warmupSteps = warmupSteps
        self.totalSteps = totalSteps
        self.floor = floor
    }

    /// The learning rate of a step, counted from 1.
    public func learningRate(at step: Int) -> Double {
        require(step >= 1, "learningRate(at:): steps count from 1, found \(step)")
        if step < warmupSteps { return peak * Double(step) / Double(warmupSteps) }
        switch shape {
        case .constant: return peak
        case .cosine:
            // Validated in the initializer: the total is known and larger than the warm-up.
            let decaySteps = Double(totalSteps! - warmupSteps)
            let progress = min(1, Double(step - warmupSteps) / decaySteps)
            return peak * (floor + (1 - floor) * (1 + cos(.pi * progress)) / 2)
        case .noam: return peak * (Double(warmupSteps) / Double(step)).squareRoot()
        }
    }

    /// Describes the rate at which a run resumes after a step where the end of its cosine has moved; nil where nothing
    /// changes.
    /// - Parameter old: the schedule of the steps made so far.
    func change(from old: LearningRateSchedule, after step: Int) -> String? {
        guard shape == .cosine, step >= 1, let end = totalSteps, let oldEnd = old.totalSteps, end != oldEnd else {
            return nil
        }
        let (next, expected) = (learningRate(at: step + 1), old.learningRate(at: step + 1))
        guard next != expected else { return nil }
        return String(
            format:
                "the learning rate %@ from %.2e in step %d to %.2e in step %d: the cosine ends with step %d now, not %d",
            abs(next - expected) > peak / 100 ? "jumps" : "goes", old.learningRate(at: step), step, next, step + 1, end,
            oldEnd)
    }

    /// The peak of the schedule of "Attention Is All You Need": factor · d_model^−0.5 · warmup^−0.5.
    public static func noamPeak(modelDimension: Int, warmupSteps: Int, factor: Double = 1) -> Double {
        factor / (Double(modelDimension) * Double(warmupSteps)).squareRoot()
    }
}
