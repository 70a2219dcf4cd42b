import Tensors
import Testing

@testable import Trainer

@Suite struct WindowSamplerTests {
    private func sampler(
        _ count: Int = 1000, length: Int = 7, batch: Int = 3, seed: UInt64 = 5
    ) throws -> WindowSampler {
        try WindowSampler(countingTokens(count), sequenceLength: length, batchSize: batch, seed: seed)
    }

    @Test("Targets are the next tokens")
    func targetsAreTheNextTokens() throws {
        let batch = try sampler().batch(at: 4)
        #expect(batch.shape == [3, 7])
        #expect(batch.inputs.count == 21)
        #expect(batch.targets == batch.inputs.map { $0 + 1 })
        for row in 0..<3 {
            let inputs = Array(batch.inputs[row * 7..<row * 7 + 7])
            #expect(inputs == (inputs[0]..<inputs[0] + 7).map { $0 })
        }
    }

    @Test("A batch depends on seed and number only")
    func batchesDependOnSeedAndNumberOnly() throws {
        let first = try sampler()
        let forwards = try (0..<50).map(first.batch)
        let second = try sampler()
        #expect(try (0..<50).reversed().map(second.batch).reversed() == forwards)
        #expect(Set(forwards.map(\.inputs)).count == 50)
        let other = try sampler(seed: 6)
        #expect(try (0..<50).filter { try other.batch(at: $0) == forwards[$0] }.isEmpty)
    }

    @Test("Small batches hold the windows of large ones")
    func smallBatchesAreTheWindowsOfLargeOnes() throws {
        let large = try sampler(batch: 6)
        let small = try sampler(batch: 3)
        for step in 0..<10 {
            #expect(
                try large.batch(at: step).inputs == small.batch(at: 2 * step).inputs
                    + small.batch(at: 2 * step + 1).inputs)
        }
    }

    @Test("The windows of a seed never change")
    func theSameWindowsForEver() throws {
        // A change of these numbers would silently change what every seed trains on.
        let batch = try sampler(1_000_000, length: 1, batch: 4, seed: 42).batch(at: 10)
        #expect(batch.inputs == [228_533, 53_064, 241_097, 466_766])
    }

    @Test("All places of the text are equally likely")
    func allPlacesAreEquallyLikely() throws {
        // 10 places (17 − 7 tokens), 30,000 draws: a χ² with 9 degrees of freedom, above 33.7 in 1 of 10,000 seeds.
        let sampler = try sampler(17)
        var counts = [Int](repeating: 0, count: 10)
        for step in 0..<10_000 {
            let inputs = try sampler.batch(at: step).inputs
            for row in 0..<3 { counts[Int(inputs[row * 7])] += 1 }
        }
        #expect(counts.reduce(0.0) { $0 + (Double($1) - 3000) * (Double($1) - 3000) / 3000 } < 33.7)
    }

    @Test("A text of exactly one window suffices, a shorter one is refused")
    func aTextOfExactlyOneWindow() throws {
        #expect(try sampler(8, batch: 1).batch(at: 3).targets == [1, 2, 3, 4, 5, 6, 7])
        expectError("numbers: has 7 tokens; a sequence length of 7 needs at least 8") { try sampler(7) }
    }

    @Test("Windows end with their document, and begin where something follows")
    func windowsEndWithTheirDocument() throws {
        // Of the 13 places where a window of five fits, the markers, with nothing to predict after them, are left out.
        let text = "abcd.ef..g.hijklmn"
        let sampler = try WindowSampler(
            byteTokens(text, .marker(UInt8(ascii: "."))), sequenceLength: 5, batchSize: 3, seed: 1)
        let expected = [
            "^abcd_>bcd._", "^bcd__>cd.__", "^cd___>d.___", "^d____>.____", "^ef___>f.___", "^f____>.____",
            "^g____>.____", "^hijkl>ijklm", "^ijklm>jklmn",
        ]
        // 9 places, 30,000 draws: a χ² with 8 degrees of freedom, above 31.8 in 1 of 10,000 seeds.
        var counts: [String: Int] = [:]
        for step in 0..<10_000 {
            for window in try picture(sampler.batch(at: step)) { counts[window, default: 0] += 1 }
        }
        #expect(Set(counts.keys) == Set(expected))
        let mean = 30_000.0 / 9
        #expect(counts.values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) / mean } < 31.8)
    }

    @Test("The batches of an epoch are rounded up")
    func epochsAreRoundedUp() throws {
        #expect(try sampler(211, length: 7, batch: 3).batchesPerEpoch == 10)  // 210 targets, 21 a batch
        #expect(try sampler(212, length: 7, batch: 3).batchesPerEpoch == 11)
        #expect(try sampler(8, length: 7, batch: 3).batchesPerEpoch == 1)
    }
}

@Suite struct SequentialWindowsTests {
    @Test(
        "Every token but the first is a target once", arguments: [2, 3, 7, 8, 9, 15, 16, 17, 50, 57], [1, 2, 3, 100])
    func everyTokenButTheFirstIsATargetOnce(count: Int, batchSize: Int) throws {
        for length in [1, 2, 7, 8, 100] {
            let windows = try SequentialWindows(countingTokens(count), sequenceLength: length, batchSize: batchSize)
            let batches = try windows.all()
            #expect(batches.flatMap(\.targets) == (1..<Int32(count)).map { $0 })
            #expect(batches.flatMap(\.inputs) == (0..<Int32(count - 1)).map { $0 })
            #expect(try windows.targetCount == count - 1)
            for batch in batches {
                #expect(batch.inputs.count == batch.shape[0] * batch.shape[1])
                #expect(batch.shape[0] <= batchSize && batch.shape[1] <= length)
                #expect(batch.targets == batch.inputs.map { $0 + 1 })
            }
        }
    }

    @Test("A last, shorter window is a batch of its own")
    func theRestIsABatchOfItsOwn() throws {
        let windows = try SequentialWindows(countingTokens(24), sequenceLength: 4, batchSize: 2).all()
        #expect(windows.map(\.shape) == [[2, 4], [2, 4], [1, 4], [1, 3]])
        #expect(windows.last?.inputs == [20, 21, 22])
        let whole = try SequentialWindows(countingTokens(17), sequenceLength: 4, batchSize: 2).all()
        #expect(whole.map(\.shape) == [[2, 4], [2, 4]])
    }

    @Test("Documents are read in order, without their single tokens")
    func documentsAreReadInOrder() throws {
        let text = try byteTokens("abcdef.g..hi.k", .marker(UInt8(ascii: ".")))
        let single = try SequentialWindows(text, sequenceLength: 4)
        #expect(try single.all().map(picture) == [["^abcd>bcde"], ["ef>f."], ["^g>."], ["^hi>i."]])
        let pairs = try SequentialWindows(text, sequenceLength: 4, batchSize: 3)
        #expect(try pairs.all().map(picture) == [["^abcd>bcde", "^ef__>f.__", "^g___>.___"], ["^hi>i."]])
        #expect(try pairs.targetCount == 9)
    }

    @Test("Windows of random texts are those of a loop over all targets", arguments: 0..<200)
    func windowsAreThoseOfALoopOverAllTargets(seed: Int) throws {
        let example = DocumentExample(seed: seed, separator: .marker(DocumentExample.marker))
        let (length, size) = (1 + seed % 9, 1 + seed % 4)
        var runs = example.runs(of: 1..<example.tokens.count, length: length)[...]
        guard !runs.isEmpty else { return }
        let windows = try SequentialWindows(example.source, sequenceLength: length, batchSize: size)
        #expect(try windows.targetCount == runs.reduce(0) { $0 + $1.count })
        for batch in try windows.all() {
            let rows = Array(runs.prefix(size))
            let starts = rows.map { size > 1 || example.starts.contains($0[0] - 1) }
            #expect(
                example.isEqual(batch, rows, length: rows.map(\.count).max() ?? 0, startsDocument: starts))
            runs = runs.dropFirst(size)
        }
        #expect(runs.isEmpty)
    }

    @Test("Windows of a slice stay within it")
    func aPartOfAText() throws {
        let part = countingTokens(100).slice(90..<100, name: "end")
        #expect(
            try SequentialWindows(part, sequenceLength: 4).all().map(\.targets) == [
                [91, 92, 93, 94], [95, 96, 97, 98], [99],
            ])
    }

    @Test("A text without a target is refused")
    func nothingToPredict() {
        expectError("numbers: has 1 token; a sequence length of 1 needs at least 2") {
            try SequentialWindows(countingTokens(1), sequenceLength: 8)
        }
    }
}

@Suite struct SplitMix64Tests {
    @Test("The generator gives the published sequence")
    func publishedSequence() {
        // The reference implementation's first numbers for the seed 1234567.
        var generator = SplitMix64(seed: 1_234_567)
        #expect(
            (0..<5).map { _ in generator.next() } == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
    }

    @Test("Bounded numbers are uniform")
    func boundedNumbers() {
        var generator = SplitMix64(seed: 3)
        #expect((0..<100).allSatisfy { _ in generator.next(below: 1) == 0 })
        // 2⁶⁴ random numbers do not go evenly into 3 · 2⁶¹ results: taking the remainder, or the product's high half
        // without drawing again, would make a third of them rarer (2 : 3), by 25 standard deviations or more here.
        let bound = 3 << 61
        let results = (0..<30_000).map { _ in generator.next(below: bound) }
        #expect(abs(results.count { $0 % 3 == 2 } - 10_000) < 4 * 82)
        #expect(abs(results.count { $0 / (1 << 61) == 2 } - 10_000) < 4 * 82)
        #expect(results.allSatisfy { (0..<bound).contains($0) })
    }

    @Test("Streams of one seed differ")
    func streamsDiffer() {
        let firsts = (0..<10_000).map { stream in
            var generator = SplitMix64(seed: 0, stream: UInt64(stream))
            return generator.next()
        }
        #expect(Set(firsts).count == 10_000)
    }
}
