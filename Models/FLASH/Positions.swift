import NN
import Tensors

// The three ways FLASH knows positions: absolute sinusoids, rotation of queries and keys, and a bias by distance.

/// Absolute positions as sinusoids times one learned scale (2202.10447, appendix B).
///
/// Keys: scale [1]; inv_freq [⌈d/2⌉] (buffer, 10000^(−2i/d)).
public struct ScaledSinusoidalEmbedding: Module {
    /// The learned factor: [1]
    public let scale: Parameter
    /// The angle of each sinusoid by which a position differs from the one before: [⌈d/2⌉]
    public let inverseFrequencies: Parameter
    let dimension: Int

    /// Creates sinusoids of d columns.
    public init(_ dimension: Int) {
        self.dimension = dimension
        scale = Parameter(.ones([1]))
        inverseFrequencies = Parameter(Tensor(NN.inverseFrequencies(dimension)), .computed)
    }

    /// Computes scale · [sin, cos] of the positions first ..< first + n, cut to d columns: [n, d].
    public func callAsFunction(_ n: Int, from first: Int = 0) -> Tensor {
        let positions = Tensor.range(n) + Float(first)
        return sinusoids(positions, frequencies: inverseFrequencies.value, dimension: dimension) * scale.value
    }

    public func collect(into state: inout StateCollector) {
        state.add("scale", scale)
        state.add("inv_freq", inverseFrequencies)
    }
}

extension FLASH {
    /// Makes rotary positions as the peer has them: on adjacent pairs of the first columns, of float32 angles.
    ///
    /// Key: freqs [dimension / 2] (buffer, 10000^(−2i/dimension)).
    /// - Parameter dimension: the number of rotated columns; odd numbers are rounded down.
    public static func rotary(_ dimension: Int) -> Rotary {
        Rotary(dimension / 2 * 2, pairs: .interleaved, angles: .single, name: "freqs")
    }
}

/// A learned bias for each bucket of relative positions (T5, 1910.10683), one head, times a scale.
///
/// Key: relative_attention_bias.weight [32, 1], standard normal at first.
public struct T5RelativePositionBias: Module {
    /// The bias of each bucket: [32, 1]
    public let relativeAttentionBias: Embedding
    let scale: Float
    let isCausal: Bool
    static let buckets = 32
    static let maximumDistance = 128

    /// Draws the biases from a key.
    public init(scale: Float, isCausal: Bool, key: RandomKey) {
        relativeAttentionBias = Embedding(Self.buckets, 1, key: key)
        self.scale = scale
        self.isCausal = isCausal
    }

    /// Draws the biases from a key; see `init(scale:isCausal:key:)`.
    @available(*, deprecated, renamed: "init(scale:isCausal:key:)")
    public init(scale: Float, causal: Bool, key: RandomKey) { self.init(scale: scale, isCausal: causal, key: key) }

    /// Computes the bias by relative position j − i = −(n − 1) … n − 1 of key j to query i: [2n − 1].
    public func byDistance(_ n: Int) -> Tensor {
        let buckets = (1 - n..<n).map { Int32(Self.bucket($0, causal: isCausal)) }
        return relativeAttentionBias(TokenTensor(buckets)).reshaped([2 * n - 1]) * scale
    }

    /// Computes the bias B[i, j] of every pair of query i and key j: [n, n].
    public func callAsFunction(_ n: Int) -> Tensor { Self.byPair(byDistance(n)) }

    /// Spreads a bias by relative position, [2n − 1], over pairs of query and key, [n, n].
    static func byPair(_ bias: Tensor) -> Tensor {
        let n = (bias.count + 1) / 2
        let indices = (0..<n).flatMap { i in (0..<n).map { j in Int32(j - i + n - 1) } }
        return bias.taking(TokenTensor(indices)).reshaped([n, n])
    }

    /// Returns the bucket of a relative position (key − query).
    static func bucket(_ relative: Int, causal: Bool) -> Int {
        RelativePositionBuckets(count: buckets, maximumDistance: maximumDistance, isCausal: causal).bucket(of: relative)
    }

    public func collect(into state: inout StateCollector) {
        state.add("relative_attention_bias", relativeAttentionBias)
    }
}
