import Foundation
import NN
import Tensors

/// The options for choosing the next token from a model's logits.
///
/// The limits are applied in this order: the threshold and top-k on the logits, then the temperature, then top-p on the
/// probabilities that remain, made to sum to 1 again.
public struct SamplingOptions: Sendable, Hashable {
    /// The divisor of logits: 0 always takes the likeliest token (the first of equals), 1 samples as the model says.
    public var temperature: Double
    /// Only the k likeliest tokens; the first of equals come first.
    public var topK: Int?
    /// Top-k as a share of the vocabulary V, the form of the peers' `filter_thres`: only max(1, ⌊(1 − threshold) · V⌋ ).
    public var filterThreshold: Double?
    /// Only the likeliest tokens that together reach this probability, at least one. (Holtzman et al. 2020, 1904.09751.)
    public var topP: Double?
    /// The same seed gives the same text.
    public var seed: UInt64

    /// Always the likeliest token.
    public static let greedy = SamplingOptions(temperature: 0)

    /// Creates options; `validate` checks their ranges.
    public init(
        temperature: Double = 1, topK: Int? = nil, filterThreshold: Double? = nil, topP: Double? = nil, seed: UInt64 = 0
    ) {
        self.temperature = temperature
        self.topK = topK
        self.filterThreshold = filterThreshold
        self.topP = topP
        self.seed = seed
    }

    // MARK: Choosing

    static let logitsNotFinite = InputError("the model's logits are not finite; expected weights of a trained model")

    /// The token number `position` of row `row`: a function of the logits, the seed, and these two.
    /// - Throws: `InputError` when a logit is NaN or all are −∞.
    public func choose(_ logits: UnsafeBufferPointer<Float>, row: Int, position: Int) throws -> Int32 {
        let likeliest = logits.indices.max { precedes($1, $0, logits) } ?? 0
        guard let greatest = logits.first.map({ _ in logits[likeliest] }), greatest.isFinite,
            !logits.contains(where: \.isNaN)
        else { throw Self.logitsNotFinite }
        if temperature == 0 { return Int32(likeliest) }
        var tokens = candidates(logits)
        var weights = tokens.map { exp((Double(logits[$0]) - Double(greatest)) / temperature) }
        if let topP {
            if kept(of: logits.count) >= logits.count { sort(&tokens, &weights, logits) }
            let limit = topP * weights.reduce(0, +)
            var sum = 0.0
            let count =
                1
                + (weights.firstIndex {
                    sum += $0
                    return sum >= limit
                } ?? weights.count - 1)
            tokens.removeSubrange(count...)
            weights.removeSubrange(count...)
        }
        var generator = SplitMix64(seed: seed, stream: UInt64(row) << 40 ^ UInt64(position))
        let draw = Double(generator.next() >> 11) * 0x1p-53 * weights.reduce(0, +)
        var sum = 0.0
        let index = weights.firstIndex {
            sum += $0
            return draw < sum
        }
        // Rounding may leave the sum a hair below the draw: the last one that is possible at all.
        return Int32(tokens[index ?? weights.lastIndex { $0 > 0 }!])
    }

    /// The tokens that top-k leaves, in descending order where it leaves any out.
    private func candidates(_ logits: UnsafeBufferPointer<Float>) -> [Int] {
        let count = kept(of: logits.count)
        if count >= logits.count { return Array(logits.indices) }
        return Array(logits.indices.sorted { precedes($0, $1, logits) }.prefix(count))
    }

    private func kept(of vocabulary: Int) -> Int {
        // In the peers' arithmetic: float64, truncated.
        let threshold = filterThreshold.map { max(1, Int((1 - $0) * Double(vocabulary))) } ?? vocabulary
        return min(threshold, topK ?? vocabulary, vocabulary)
    }

    private func sort(_ tokens: inout [Int], _ weights: inout [Double], _ logits: UnsafeBufferPointer<Float>) {
        let order = tokens.indices.sorted { precedes(tokens[$0], tokens[$1], logits) }
        (tokens, weights) = (order.map { tokens[$0] }, order.map { weights[$0] })
    }

    /// Tells whether token a comes before token b in descending order.
    private func precedes(_ a: Int, _ b: Int, _ logits: UnsafeBufferPointer<Float>) -> Bool {
        logits[a] > logits[b] || (logits[a] == logits[b] && a < b)
    }
}

// MARK: Schema

extension SamplingOptions: CheckedOptions {
    static var defaults: SamplingOptions { SamplingOptions() }

    /// The keys and ranges of the options, any of which may be left out.
    static let schema: [OptionField<SamplingOptions>] = [
        .number("temperature", \.temperature, .atLeast(0), isRequired: false),
        .whole("top_k", \.topK, in: 1...Int.max),
        .number("filter_threshold", \.filterThreshold, .fraction),
        .number("top_p", \.topP, .share),
        .seed("seed", \.seed, isRequired: false),
    ]

    /// Checks the range of every option.
    /// - Throws: `OptionError` that names the first property that is wrong.
    public func validate() throws { try check() }

    public init(from decoder: any Decoder) throws { try self.init(decoding: decoder) }

    public func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }
}
