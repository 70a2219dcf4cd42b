import NN
import Tensors

/// Inputs and targets of one step, the target of each token being the token after it.
public struct TokenBatch: Sendable, Equatable {
    /// `[batch, length]`, row after row.
    public internal(set) var inputs: [Int32]
    /// `[batch, length]`, row after row.
    public internal(set) var targets: [Int32]
    /// `[batch, length]`.
    public let shape: [Int]

    /// Copies one window of `length + 1` tokens from each of `starts`.
    init(_ source: TokenSource, starts: [Int], length: Int) {
        shape = [starts.count, length]
        var inputs: [Int32] = []
        var targets: [Int32] = []
        inputs.reserveCapacity(starts.count * length)
        targets.reserveCapacity(starts.count * length)
        for start in starts {
            let window = source[start..<start + length + 1]
            inputs += window.dropLast()
            targets += window.dropFirst()
        }
        self.inputs = inputs
        self.targets = targets
    }

    /// The number of targets that count.
    public var targetCount: Int { targets.count { $0 != ignoredTarget } }
}

/// Windows from random places of a text, for training.
///
/// Window number w of a seed (row r of batch b is w = b · batchSize + r) starts at a place that depends on seed and w
/// only: any batch can be had without those before it, so a resumed run sees what the interrupted one would have seen,
/// and two batches of four are the same windows as one of eight. All places at which a whole window fits are equally
/// likely.
public struct WindowSampler: Sendable {
    private let source: TokenSource
    public let sequenceLength: Int
    public let batchSize: Int
    public let seed: UInt64

    /// - Throws: `InputError` when the text is shorter than `sequenceLength + 1` tokens.
    public init(_ source: TokenSource, sequenceLength: Int, batchSize: Int, seed: UInt64) throws {
        require(
            sequenceLength > 0 && batchSize > 0,
            "WindowSampler: sequence length \(sequenceLength) and batch size \(batchSize) must be positive")
        try DataSplit.requireLength(of: source, sequenceLength: sequenceLength)
        self.source = source
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
        self.seed = seed
    }

    /// How many batches have as many targets as the text, rounded up: what goes for an epoch with random windows.
    public var batchesPerEpoch: Int {
        let targets = batchSize * sequenceLength
        return (source.count - 1 + targets - 1) / targets
    }

    /// Batch number `step`, counted from 0.
    public func batch(at step: Int) -> TokenBatch {
        require(step >= 0, "WindowSampler.batch: negative step \(step)")
        let starts = (0..<batchSize).map { row in
            var generator = SplitMix64(seed: seed, stream: UInt64(step * batchSize + row))
            return generator.next(below: source.count - sequenceLength)
        }
        return TokenBatch(source, starts: starts, length: sequenceLength)
    }
}

/// A text from beginning to end in windows, for validation and evaluation: every token but the very first is a target
/// exactly once.
///
/// Batches of whole windows come first, in order (the last of them may have fewer rows); the shorter window that
/// remains at the end of the text is a batch of its own. With `batchSize` 1 the batches follow one another in the text,
/// as a state carried from one to the next needs it.
public struct SequentialWindows: Sendable, RandomAccessCollection {
    private let source: TokenSource
    private let sequenceLength: Int
    private let batchSize: Int

    /// - Throws: `InputError` when the text has fewer than two tokens, so nothing to predict.
    public init(_ source: TokenSource, sequenceLength: Int, batchSize: Int = 1) throws {
        require(
            sequenceLength > 0 && batchSize > 0,
            "SequentialWindows: sequence length \(sequenceLength) and batch size \(batchSize) must be positive")
        try DataSplit.requireLength(of: source, sequenceLength: 1)
        self.source = source
        self.sequenceLength = sequenceLength
        self.batchSize = batchSize
    }

    /// The number of targets of all batches together.
    public var targetCount: Int { source.count - 1 }

    public var startIndex: Int { 0 }

    public var endIndex: Int {
        (wholeWindows + batchSize - 1) / batchSize + (targetCount % sequenceLength > 0 ? 1 : 0)
    }

    public subscript(position: Int) -> TokenBatch {
        require(indices.contains(position), "SequentialWindows: batch \(position) of \(count)")
        let first = position * batchSize
        guard first < wholeWindows else {
            let start = wholeWindows * sequenceLength
            return TokenBatch(source, starts: [start], length: targetCount - start)
        }
        let windows = first..<Swift.min(first + batchSize, wholeWindows)
        return TokenBatch(source, starts: windows.map { $0 * sequenceLength }, length: sequenceLength)
    }

    private var wholeWindows: Int { targetCount / sequenceLength }
}
