import Tensors

/// The batches of a training, which a function makes or which are cut from examples.
///
///     let drawn = Batches { number, key in Points(64, key: key) }
///     let cut = Batches(of: images, size: 32) { Images(stacking: $0) }
///
/// A batch is a function of its number, so a training that resumes sees the ones that are left.
public struct Batches<Batch: Sendable>: Sendable {
    /// The number of batches in an epoch; nil where there is no end.
    public let perEpoch: Int?
    private let make: @Sendable (Int, RandomKey) throws -> Batch

    /// Creates batches without end.
    /// - Parameter make: makes the batch of a number, counted from 0; the same for the same arguments. What is random is
    ///   drawn from the key, which follows from the training's seed and the number.
    public init(_ make: @escaping @Sendable (_ number: Int, _ key: RandomKey) throws -> Batch) {
        (perEpoch, self.make) = (nil, make)
    }

    /// Cuts examples into batches, each example once an epoch.
    /// - Parameters:
    ///   - size: examples in a batch; the last of an epoch may have fewer.
    ///   - shuffles: whether each epoch has an order of its own.
    ///   - seed: what the orders are drawn from.
    ///   - make: makes a batch of its examples.
    public init<Example: Sendable>(
        of examples: [Example], size: Int, shuffles: Bool = true, seed: UInt64 = 0,
        _ make: @escaping @Sendable ([Example]) throws -> Batch
    ) {
        require(!examples.isEmpty && size >= 1, "Batches: \(examples.count) examples in batches of \(size)")
        let perEpoch = (examples.count + size - 1) / size
        let order = EpochOrder(examples.count, seed: seed)
        self.perEpoch = perEpoch
        self.make = { number, _ in
            let first = number % perEpoch * size
            let places = first..<min(first + size, examples.count)
            guard shuffles else { return try make(Array(examples[places])) }
            let indices = order.indices(ofEpoch: number / perEpoch)
            return try make(places.map { examples[indices[$0]] })
        }
    }

    /// Makes the batch of a number, counted from 0.
    /// - Parameter key: what is random is drawn from it.
    public func batch(_ number: Int, key: RandomKey) throws -> Batch { try make(number, key) }
}

/// The order of examples in each epoch, drawn from a seed; the last that was asked for is kept.
private final class EpochOrder: Sendable {
    private let count: Int
    private let seed: UInt64
    private let last: Guarded<(epoch: Int, indices: [Int])>

    init(_ count: Int, seed: UInt64) {
        (self.count, self.seed) = (count, seed)
        last = Guarded((-1, []))
    }

    func indices(ofEpoch epoch: Int) -> [Int] {
        last.withLock { last in
            if last.epoch != epoch { last = (epoch, drawn(epoch)) }
            return last.indices
        }
    }

    /// Fisher and Yates's shuffle.
    private func drawn(_ epoch: Int) -> [Int] {
        var generator = SplitMix64(seed: seed, stream: UInt64(epoch))
        var indices = Array(0..<count)
        for place in stride(from: count - 1, to: 0, by: -1) { indices.swapAt(place, generator.next(below: place + 1)) }
        return indices
    }
}
