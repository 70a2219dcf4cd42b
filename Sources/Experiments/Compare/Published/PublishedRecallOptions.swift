import ModelZoo

/// `--task recall --recall mqar --published`: what all its cells have in common.
package struct PublishedRecallOptions: Codable, Sendable, Equatable {
    /// The longest training: passes over all examples.
    package var epochs = 64
    /// Examples of the training; those of the test are 3,000, or as many where these are fewer.
    package var examples = 100_000

    /// The settings of the paper.
    package init() {}

    /// Examples of the test.
    var testExamples: Int { min(examples, 3000) }

    /// Lengths of sequences with their numbers of pairs.
    static let settings = [64: 4, 128: 8, 256: 16, 512: 64]
    static let lengths = [64, 128, 256]
    static let widths = [64, 128]
    /// Four from 1e-4 to 1e-2 at equal ratios. The likeliest to learn is first, as a setting that one rate solves is not
    /// tried with the others.
    static let rates = [2.15e-3, 4.64e-4, 1e-2, 1e-4]
    /// The share of the answers at which a training ends, the setting being solved.
    static let solved = 0.99
    static let weightDecay = 0.1
    static let (mostWidth, mostExamples) = (4096, 1 << 24)
}

/// A model at one setting, width and learning rate.
package struct PublishedRecallCell: Codable, Sendable, Hashable {
    /// The architecture's id.
    package var model: String
    /// Tokens in a sequence.
    package var length: Int
    /// Width of the model.
    package var width: Int
    /// The learning rate of the first epoch.
    package var rate: Double

    /// Pairs in a sequence.
    package var pairs: Int { PublishedRecallOptions.settings[length] ?? max(1, length / 16) }

    var task: PublishedRecall { PublishedRecall(length: length, pairs: pairs) }

    /// For people: mqar 64/4, width 64, rate 0.00215, local.
    var title: String { "mqar \(length)/\(pairs), width \(width), rate \(rate), \(model)" }
}

/// The outcome of a cell.
package struct PublishedRecallOutcome: Codable, Sendable, Equatable {
    /// The cell that was trained.
    package var cell: PublishedRecallCell
    /// Parameters that were trained.
    package var parameters: Int
    /// Seconds of training, tests not counted.
    package var seconds: Double
    /// The tests, one after each epoch.
    package var tests: [Test]
    /// Why the training ended early; nil where it did not.
    package var fault: String?

    /// The answers after an epoch.
    package struct Test: Codable, Sendable, Equatable {
        /// The number of answers asked for.
        package var asked: Int
        /// The number found.
        package var found: Int
        /// Mean nats an answer.
        package var loss: Double

        /// The share that was found.
        package var share: Double { Double(found) / Double(max(asked, 1)) }
    }

    /// Returns true if a cell needs no more training: it was trained, or its setting is solved with another rate, as
    /// more than 99 % is not looked for.
    func finishes(_ other: PublishedRecallCell) -> Bool {
        var same = other
        same.rate = cell.rate
        return cell == other || (cell == same && isSolved)
    }

    /// The share of the answers found after the last epoch; 0 before the first.
    package var share: Double { tests.last?.share ?? 0 }

    /// True if it found 99 %, which ends a training.
    package var isSolved: Bool { share >= PublishedRecallOptions.solved }

    /// Epochs of training.
    package var epochs: Int { tests.count }
}
