import Foundation
import Tensors
import Testing

@testable import Trainer

@Suite struct LearningRateScheduleTests {
    /// The formulas are computed in double precision on both sides; 1e-15 is a few roundings.
    private func close(_ first: Double, _ second: Double) -> Bool { abs(first - second) <= 1e-15 * abs(second) + 1e-18 }

    @Test("The warm-up is linear and ends at the peak", arguments: LearningRateSchedule.Shape.allCases)
    func warmUpIsLinearAndEndsAtThePeak(shape: LearningRateSchedule.Shape) throws {
        let schedule = try LearningRateSchedule(shape, peak: 2e-4, warmupSteps: 10, totalSteps: 50)
        for step in 1...10 { #expect(close(schedule.learningRate(at: step), 2e-4 * Double(step) / 10)) }
        #expect(schedule.learningRate(at: 10) == 2e-4)
        for step in 11...100 { #expect(schedule.learningRate(at: step) <= 2e-4) }
    }

    @Test("The constant schedule stays at the peak")
    func constant() throws {
        let schedule = try LearningRateSchedule(.constant, peak: 0.5)
        #expect([1, 2, 1_000_000].map(schedule.learningRate) == [0.5, 0.5, 0.5])
    }

    @Test("The cosine falls from the peak to the floor and stays there")
    func cosine() throws {
        let schedule = try LearningRateSchedule(.cosine, peak: 1, warmupSteps: 20, totalSteps: 120, floor: 0.1)
        #expect(schedule.learningRate(at: 20) == 1)
        #expect(close(schedule.learningRate(at: 45), 0.1 + 0.9 * (1 + 0.5.squareRoot()) / 2))  // a quarter
        #expect(close(schedule.learningRate(at: 70), 0.55))  // half-way
        #expect(close(schedule.learningRate(at: 120), 0.1))
        #expect(close(schedule.learningRate(at: 5000), 0.1))
        let rates = (20...120).map(schedule.learningRate)
        #expect(zip(rates, rates.dropFirst()).allSatisfy { $0 > $1 })
    }

    @Test("Without a warm-up the cosine begins below the peak and ends at zero")
    func cosineWithoutWarmUpBeginsBelowThePeakAndEndsAtZero() throws {
        let schedule = try LearningRateSchedule(.cosine, peak: 1, totalSteps: 4)
        #expect(close(schedule.learningRate(at: 1), (1 + 0.5.squareRoot()) / 2))
        #expect(schedule.learningRate(at: 4) == 0)
    }

    @Test("The Noam schedule is the paper's formula")
    func noamIsThePaperFormula() throws {
        let (dim, warmup, factor) = (512, 4000, 1.0)
        let peak = LearningRateSchedule.noamPeak(modelDimension: dim, warmupSteps: warmup, factor: factor)
        let schedule = try LearningRateSchedule(.noam, peak: peak, warmupSteps: warmup)
        for step in [1, 2, 100, 3999, 4000, 4001, 5000, 100_000] {
            let t = Double(step)
            let paper = factor * pow(Double(dim), -0.5) * min(pow(t, -0.5), t * pow(Double(warmup), -1.5))
            #expect(abs(schedule.learningRate(at: step) - paper) <= 1e-14 * paper)  // pow rounds as well
        }
        #expect(schedule.learningRate(at: 4000) == peak)
    }

    @Test("Impossible options are named")
    func impossibleOptions() {
        for peak in [0, -1, .nan, .infinity] {
            expectError("peak: expected a number above 0, found \(peak)") {
                try LearningRateSchedule(.constant, peak: peak)
            }
        }
        expectError("warmupSteps: expected a whole number of at least 0, found -1") {
            try LearningRateSchedule(.constant, peak: 1, warmupSteps: -1)
        }
        expectError("floor: expected a number from 0 to 1, found 1.5") {
            try LearningRateSchedule(.cosine, peak: 1, totalSteps: 9, floor: 1.5)
        }
        expectError(naming: "warmupSteps", "expected at least 1", "shape noam", "found 0") {
            try LearningRateSchedule(.noam, peak: 1)
        }
        expectError(naming: "shape cosine", "totalSteps") {
            try LearningRateSchedule(.cosine, peak: 1)
        }
        expectError("warmupSteps: expected fewer than the 9 steps of shape cosine, found 9") {
            try LearningRateSchedule(.cosine, peak: 1, warmupSteps: 9, totalSteps: 9)
        }
    }
}

@Suite("Warnings about a cosine whose end has moved") struct ScheduleChangeTests {
    func cosine(_ steps: Int, peak: Double = 1, warmup: Int = 0) throws -> LearningRateSchedule {
        try LearningRateSchedule(.cosine, peak: peak, warmupSteps: warmup, totalSteps: steps)
    }

    @Test("The jump is said with both rates and both ends")
    func jumps() throws {
        // cos(π/2) = 0 in step 50 of 100; in step 101 of 200 cos(101 π / 200) ≈ -0.0157.
        #expect(
            try cosine(200).change(from: cosine(100), after: 100)
                == "the learning rate jumps from 0.00e+00 in step 100 to 4.92e-01 in step 101: the cosine ends with"
                + " step 200 now, not 100")
        // A shorter run, which falls.
        #expect(
            try cosine(60).change(from: cosine(100), after: 50)?.hasPrefix(
                "the learning rate jumps from 5.00e-01 in step 50 to 5.45e-02 in step 51") == true)
    }

    @Test("A change that nobody would see is no jump, and none is not mentioned")
    func others() throws {
        #expect(
            try cosine(1001).change(from: cosine(1000), after: 3)?.hasPrefix("the learning rate goes from ") == true)
        #expect(try cosine(100).change(from: cosine(100), after: 50) == nil)
        #expect(try cosine(200).change(from: cosine(100), after: 0) == nil)  // no step has been made
        #expect(try cosine(200, warmup: 20).change(from: cosine(100, warmup: 20), after: 10) == nil)
        let constant = try LearningRateSchedule(.constant, peak: 1, totalSteps: 200)
        #expect(try constant.change(from: LearningRateSchedule(.constant, peak: 1, totalSteps: 100), after: 50) == nil)
    }
}
