import CKernels

/// The place of a stream of random numbers: a value, not a generator with state. The same key gives the same numbers, in
/// any order, on any number of threads; children of a key are keys for independent streams.
///
///     let key = RandomKey(seed: 7)
///     let weights = Tensor.normal([512, 512], key: key.child(0))
///     let mask = dropout(x, probability: 0.1, key: key.child(1).child(step))
public struct RandomKey: Sendable, Hashable {
    /// The key as the kernels of the counter-based generator (Philox) take it.
    public let value: UInt64

    /// Creates the key of a seed.
    public init(seed: UInt64) { value = Self.mixed(seed ^ 0x5851_f42d_4c95_7f2d) }

    private init(value: UInt64) { self.value = value }

    /// The key number `index` under this one. Different indices give different keys.
    public func child(_ index: Int) -> RandomKey {
        // The multiplier is odd, so this is one-to-one in the index; mixing twice keeps grandchildren apart.
        let step = (UInt64(bitPattern: Int64(index)) &+ 1) &* 0x9e37_79b9_7f4a_7c15
        return RandomKey(value: Self.mixed(Self.mixed(value) &+ step))
    }

    /// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): one-to-one, each bit depends on all.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// `count` 64-bit numbers for draws outside of tensors, such as the places of a batch in a text.
    public func integers(_ count: Int) -> [UInt64] { (0..<count).map { child($0).value } }
}

extension Tensor {
    /// Uniform between `low` and `high`.
    public static func uniform(_ shape: [Int], low: Float = 0, high: Float = 1, key: RandomKey) -> Tensor {
        random(shape, key, scale: high - low, shift: low, az_random_uniform)
    }

    /// Normally distributed.
    public static func normal(
        _ shape: [Int], mean: Float = 0, standardDeviation: Float = 1, key: RandomKey
    ) -> Tensor {
        random(shape, key, scale: standardDeviation, shift: mean, az_random_normal)
    }

    private static func random(
        _ shape: [Int], _ key: RandomKey, scale: Float, shift: Float,
        _ draw: @convention(c) (Int, UInt64, UInt64, UnsafeMutablePointer<Float>?) -> Void
    ) -> Tensor {
        if Outline.isActive { return outline(shape) }
        let y = Tensor(uninitialized: shape)
        parallelRanges(y.count, grain: elementGrain) { range in
            let part = y.mutablePointer + range.lowerBound
            draw(range.count, key.value, UInt64(range.lowerBound), part)
            if scale != 1 { az_scale(range.count, scale, part, part) }
            if shift != 0 { az_add_scalar(range.count, shift, part, part) }
        }
        return y
    }
}
