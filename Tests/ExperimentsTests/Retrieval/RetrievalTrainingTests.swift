import AttentionZooExperiments
import Testing

@Suite struct RetrievalTrainingTests {
    private func cell(_ setting: RetrievalSetting, _ keys: Int, _ map: RetrievalMap, _ delta: Bool) -> RetrievalCell {
        RetrievalCell(RetrievalTask(setting, keys: keys), RetrievalMemory(map, delta ? .delta : .sum))
    }

    /// The paper's result, small: a memory that sums cannot forget the value a key had before.
    @Test("Only the delta rule learns to overwrite values")
    func onlyTheDeltaRuleOverwrites() throws {
        let options = RetrievalOptions()
        let delta = try #require(cell(.repeatedKeys, 8, .dpfp(nu: 1), true).train(options))
        #expect(delta.end == .solved && delta.loss! <= 1e-3)
        let sum = try #require(cell(.repeatedKeys, 8, .dpfp(nu: 1), false).train(options))
        #expect(sum.end == .stalled && sum.loss! > 0.03, "\(sum.loss!)")
        // Where every key comes once, adding up is enough.
        let distinct = try #require(cell(.distinctKeys, 8, .dpfp(nu: 1), false).train(options))
        #expect(distinct.end == .solved)
    }

    @Test("The seed decides the evaluations", arguments: [RetrievalMap.dpfp(nu: 2), .favor(directions: 32), .softmax])
    func theSeedDecides(_ map: RetrievalMap) throws {
        func evaluations(_ seed: UInt64) throws -> [RetrievalOutcome.Evaluation] {
            var options = RetrievalOptions()
            (options.steps, options.seed) = (150, seed)
            return try #require(cell(.repeatedKeys, 6, map, true).train(options)).evaluations
        }
        let first = try evaluations(3)
        #expect(try evaluations(3) == first)
        #expect(try evaluations(4) != first)
        #expect(first.allSatisfy { $0.loss.isFinite && $0.loss < 2 })
    }

    /// Evaluations come every 100 steps and after the last.
    @Test("A cell ends after its steps")
    func stepsEnd() throws {
        var options = RetrievalOptions()
        (options.steps, options.learningRate) = (230, 1e-12)
        var reports: [Int] = []
        let outcome = try #require(
            cell(.distinctKeys, 5, .elu, true).train(options, report: { reports.append($0.count) }))
        #expect(outcome.evaluations.map(\.step) == [100, 200, 230])
        #expect(reports == [1, 2, 3])
        #expect(outcome.end == .steps && outcome.steps == 230)
        #expect(outcome.loss == outcome.evaluations.map(\.loss).min())
    }

    /// The model stands still, so that evaluations differ by their sequences alone.
    @Test("Eleven evaluations without progress end a cell")
    func elevenEvaluationsWithoutProgressEnd() throws {
        var options = RetrievalOptions()
        options.learningRate = 1e-12
        let outcome = try #require(cell(.distinctKeys, 5, .elu, false).train(options))
        #expect(outcome.end == .stalled)
        let losses = outcome.evaluations.map(\.loss)
        let best = losses.indices.min { losses[$0] < losses[$1] }!
        #expect(losses.count == best + 1 + 11)
    }

    @Test("Divergence ends a cell")
    func divergenceEnds() throws {
        var options = RetrievalOptions()
        options.learningRate = 1e30
        let outcome = try #require(cell(.repeatedKeys, 5, .dpfp(nu: 1), true).train(options))
        #expect(outcome.end == .diverged && outcome.loss == nil && outcome.evaluations.count == 1)
    }

    @Test("A stopped cell has no outcome")
    func stoppedCellsHaveNoOutcome() {
        var asked = 0
        let outcome = cell(.distinctKeys, 5, .elu, true).train(
            RetrievalOptions(),
            stop: {
                asked += 1
                return asked == 120
            })
        #expect(outcome == nil && asked == 120)
    }

    @Test("Evaluation of the full length is optional and leaves the training unchanged")
    func fullLengthIsJudgedOnRequest() throws {
        func losses(_ full: Bool, _ setting: RetrievalSetting) throws -> [Double] {
            var options = RetrievalOptions()
            (options.steps, options.judgesFullLength) = (100, full)
            return try #require(cell(setting, 20, .dpfp(nu: 1), false).train(options)).evaluations.map(\.loss)
        }
        // Of 40 pairs more have been written over than of 20: adding up does worse.
        #expect(try losses(true, .repeatedKeys)[0] > losses(false, .repeatedKeys)[0] * 1.1)
        #expect(try losses(true, .distinctKeys) == losses(false, .distinctKeys))
    }
}
