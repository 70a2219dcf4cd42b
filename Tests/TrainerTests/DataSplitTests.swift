import Tensors
import Testing
import Trainer

@Suite struct DataSplitTests {
    @Test("The last tenth of the text is held out")
    func theEndIsHeldBack() throws {
        let split = try DataSplit(countingTokens(100), sequenceLength: 9)
        #expect(try split.training[0..<split.training.count] == (0..<90).map { $0 })
        let validation = try #require(split.validation)
        #expect(try validation[0..<validation.count] == (90..<100).map { $0 })
        #expect(split.training.name == "numbers (without the last 10 %)")
        #expect(validation.name == "numbers (the last 10 %)")
    }

    @Test(
        "The held-out fraction is rounded to whole tokens",
        arguments: [(0.25, 75), (0.005, 995 / 10), (0.5, 50), (0.333, 67)])
    func fractions(fraction: Double, training: Int) throws {
        let split = try DataSplit(countingTokens(100), validationFraction: fraction, sequenceLength: 0)
        #expect(split.training.count == training)
        #expect(try #require(split.validation).count == 100 - training)
    }

    @Test("A fraction of 0 holds nothing out")
    func nothingHeldBack() throws {
        let split = try DataSplit(countingTokens(10), validationFraction: 0, sequenceLength: 9)
        #expect(split.training.count == 10)
        #expect(split.validation == nil)
    }

    @Test("The validation may be a text of its own")
    func aTextOfItsOwn() throws {
        let split = try DataSplit(
            training: countingTokens(10), validation: countingTokens(5, name: "valid.txt"), sequenceLength: 4)
        #expect(split.training.count == 10)
        #expect(split.validation?.count == 5)
    }

    @Test("Impossible fractions are refused", arguments: [-0.1, 1, 1.5, .nan, .infinity])
    func impossibleFractions(fraction: Double) {
        expectError("validationFraction: expected a number of at least 0 and below 1, found \(fraction)") {
            try DataSplit(countingTokens(100), validationFraction: fraction, sequenceLength: 4)
        }
    }

    @Test("A text that is too short for one sequence is named")
    func tooShort() {
        expectError("numbers: has 4 tokens; a sequence length of 4 needs at least 5") {
            try DataSplit(countingTokens(4), sequenceLength: 4)
        }
        expectError("numbers (without the last 50 %): has 5 tokens; a sequence length of 5 needs at least 6") {
            try DataSplit(countingTokens(10), validationFraction: 0.5, sequenceLength: 5)
        }
        expectError("numbers (the last 2.5 %): has 1 token; a sequence length of 4 needs at least 5") {
            try DataSplit(countingTokens(40), validationFraction: 0.025, sequenceLength: 4)
        }
        expectError("valid.txt: has 4 tokens; a sequence length of 4 needs at least 5") {
            try DataSplit(
                training: countingTokens(9), validation: countingTokens(4, name: "valid.txt"), sequenceLength: 4)
        }
        expectError("train.txt: has 4 tokens; a sequence length of 4 needs at least 5") {
            try DataSplit(
                training: countingTokens(4, name: "train.txt"), validation: countingTokens(9), sequenceLength: 4)
        }
    }
}
