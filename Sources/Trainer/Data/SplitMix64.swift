import Tensors

/// A small random number generator whose numbers are a function of a seed, a stream and a counter, so that any of them
/// can be had without those before it, and are the same on every machine.
///
/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// The sequence of the published reference implementation for this seed.
    public init(seed: UInt64) {
        state = seed
    }

    /// One of 2⁶⁴ sequences of a seed; they have nothing to do with each other.
    public init(seed: UInt64, stream: UInt64) {
        state = Self.mixed(Self.mixed(seed &+ Self.increment) ^ stream)
    }

    public mutating func next() -> UInt64 {
        state &+= Self.increment
        return Self.mixed(state)
    }

    /// A whole number from 0 up to, but not including, `bound`, all equally likely.
    ///
    /// Lemire: "Fast random integer generation in an interval", 2019, 1805.10941. (The standard library's
    /// `random(in:using:)` may change its method, and with it the windows of a seed.)
    public mutating func next(below bound: Int) -> Int {
        require(bound > 0, "SplitMix64.next(below:): the bound must be positive, found \(bound)")
        let bound = UInt64(bound)
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
        }
        return Int(product.high)
    }

    /// 2⁶⁴ divided by the golden ratio.
    private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

    private static func mixed(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
