import Foundation
import Linformers
import NN
import Tensors

/// Linformer's attention by segments, slots from a dynamic projection, against its plain form and once against loops.
enum SegmentCases {
    static var all: [KernelCase] {
        let (few, many) = (SegmentSizes(h: 1, n: 1024), SegmentSizes(h: 8, n: 2048))
        return [forward(few, byLoops: true), gradients(few, byLoops: true), forward(many), gradients(many)]
    }

    /// Multiply-adds by head and column: `products` for each key or slot that a query sees, `making` slots for each token.
    private static func work(_ sizes: SegmentSizes, products: Int, making: Int) -> KernelCase.Work {
        let seen = (0..<sizes.n).reduce(0) { $0 + sizes.keys($1).count + sizes.slots($1).count }
        return .operations(2 * Double(sizes.h * sizes.d) * Double(products * seen + making * sizes.n))
    }

    static func forward(_ sizes: SegmentSizes, byLoops: Bool = false) -> KernelCase {
        let x = sizes.inputs()
        return KernelCase(
            name: byLoops ? "segments and loops" : "attention (segments)", size: sizes.text,
            work: work(sizes, products: 2, making: 2), tolerance: 1e-5, ours: { attend(x, sizes, .fused) },
            naive: {
                byLoops
                    ? SegmentLoops(sizes: sizes, inputs: x.map(\.values)).forward() : attend(x, sizes, .plain).values
            })
    }

    /// The gradients of queries, keys, values and scores, with the forward pass. They are sums of more products.
    static func gradients(_ sizes: SegmentSizes, byLoops: Bool = false) -> KernelCase {
        let x = sizes.inputs()
        let leaves = x[..<4].map { $0.requiringGradient() }
        func run(_ form: Implementation) -> Tensor {
            let all = Tensors.gradients(of: attend(leaves, sizes, form), seed: x[4])
            return concatenate(leaves.map { all[$0]!.reshaped([$0.count]) })
        }
        return KernelCase(
            name: byLoops ? "… with gradients" : "segments with gradients", size: sizes.text,
            work: work(sizes, products: 7, making: 6), tolerance: 1e-4, ours: { run(.fused) },
            naive: {
                byLoops ? SegmentLoops(sizes: sizes, inputs: x.map(\.values)).gradients() : run(.plain).values
            })
    }

    private static func attend(_ x: [Tensor], _ sizes: SegmentSizes, _ form: Implementation) -> Tensor {
        func slots(_ tokens: Tensor) -> Tensor {
            projectSegments(tokens, .dynamic(scores: x[3]), segmentLength: sizes.length, implementation: form)
        }
        return segmentAttention(
            x[0], x[1], x[2], slotKeys: slots(x[1]), slotValues: slots(x[2]), options: sizes.options,
            implementation: form)
    }
}

/// One sequence of h heads, a window of 256 and a slot for each earlier segment of 16 tokens.
struct SegmentSizes {
    let h: Int, n: Int
    let d = 64, window = 256, length = 16

    var text: String { (h > 1 ? "\(h) × " : "") + "n \(n), w \(window), l \(length)" }

    var options: SegmentAttentionOptions {
        SegmentAttentionOptions(
            window: window, segmentLength: length, slots: 1, scale: 1 / Float(d).squareRoot())
    }

    /// q, k, v, the projection's scores and the output's gradient.
    func inputs() -> [Tensor] {
        [d, d, d, 1, d].enumerated().map {
            .normal([1, n, h, $0.element], key: RandomKey(seed: 43).child($0.offset))
        }
    }

    func keys(_ t: Int) -> Range<Int> { max(0, t + 1 - window)..<t + 1 }
    func slots(_ t: Int) -> Range<Int> { 0..<max(0, t + 1 - window) / length }
}

/// The formula as plain loops. inputs: q, k, v, scores, the output's gradient.
struct SegmentLoops {
    let sizes: SegmentSizes
    let inputs: [[Float]]
    private var d: Int { sizes.d }

    /// Keys, values and scores of one head, its slots after its tokens.
    private struct Head {
        let head: Int
        /// The weight of each token in its segment's slot.
        var p: [Float]
        var keys: [Float], values: [Float]
    }

    private func row(_ t: Int, _ head: Int) -> Int { (t * sizes.h + head) * d }

    private func makeHead(_ head: Int) -> Head {
        let (n, l) = (sizes.n, sizes.length)
        func column(_ x: [Float]) -> [Float] { (0..<n).flatMap { x[row($0, head)..<row($0, head) + d] } }
        var all = Head(
            head: head, p: (0..<n).map { expf(inputs[3][$0 * sizes.h + head]) }, keys: column(inputs[1]),
            values: column(inputs[2]))
        for segment in 0..<n / l {
            let tokens = segment * l..<(segment + 1) * l
            let total = tokens.reduce(Float(0)) { $0 + all.p[$1] }
            for t in tokens { all.p[t] /= total }
            for c in 0..<d { all.keys.append(tokens.reduce(0) { $0 + all.p[$1] * all.keys[$1 * d + c] }) }
            for c in 0..<d { all.values.append(tokens.reduce(0) { $0 + all.p[$1] * all.values[$1 * d + c] }) }
        }
        return all
    }

    /// The keys, then slots, that a token sees, and their weights.
    private func weigh(_ t: Int, _ all: Head) -> (seen: [Int], weights: [Float]) {
        let seen = Array(sizes.keys(t)) + sizes.slots(t).map { sizes.n + $0 }
        let start = row(t, all.head)
        var weights = seen.map { place -> Float in
            var score: Float = 0
            for c in 0..<d { score += inputs[0][start + c] * all.keys[place * d + c] }
            // Scores of normal numbers are far from where the exponential overflows.
            return expf(score * sizes.options.scale)
        }
        let total = weights.reduce(0, +)
        for place in weights.indices { weights[place] /= total }
        return (seen, weights)
    }

    func forward() -> [Float] {
        var output = [Float](repeating: 0, count: inputs[0].count)
        for head in 0..<sizes.h {
            let all = makeHead(head)
            for t in 0..<sizes.n {
                let (seen, weights) = weigh(t, all)
                for (place, weight) in zip(seen, weights) {
                    for c in 0..<d { output[row(t, head) + c] += weight * all.values[place * d + c] }
                }
            }
        }
        return output
    }

    /// The gradients of q, k, v and scores, one after another.
    func gradients() -> [Float] {
        var result = (0..<4).map { [Float](repeating: 0, count: inputs[$0].count) }
        for head in 0..<sizes.h {
            let all = makeHead(head)
            var (dKeys, dValues) = ([Float](repeating: 0, count: all.keys.count), all.values.map { $0 * 0 })
            for t in 0..<sizes.n { addQuery(t, all, to: &result[0], keys: &dKeys, values: &dValues) }
            for segment in 0..<sizes.n / sizes.length {
                addSegment(segment, all, to: &result[3], keys: &dKeys, values: &dValues)
            }
            for t in 0..<sizes.n {
                for c in 0..<d {
                    result[1][row(t, head) + c] = dKeys[t * d + c]
                    result[2][row(t, head) + c] = dValues[t * d + c]
                }
            }
        }
        return Array(result.joined())
    }

    private func addQuery(
        _ t: Int, _ all: Head, to dQueries: inout [Float], keys dKeys: inout [Float], values dValues: inout [Float]
    ) {
        let (start, scale) = (row(t, all.head), sizes.options.scale)
        let (seen, weights) = weigh(t, all)
        let slopes = seen.map { place -> Float in
            (0..<d).reduce(0) { $0 + inputs[4][start + $1] * all.values[place * d + $1] }
        }
        let mean = zip(weights, slopes).reduce(0) { $0 + $1.0 * $1.1 }
        for (index, place) in seen.enumerated() {
            let slope = scale * weights[index] * (slopes[index] - mean)
            for c in 0..<d {
                dQueries[start + c] += slope * all.keys[place * d + c]
                dKeys[place * d + c] += slope * inputs[0][start + c]
                dValues[place * d + c] += weights[index] * inputs[4][start + c]
            }
        }
    }

    /// Passes the gradients of a segment's slot on to its tokens and their scores.
    private func addSegment(
        _ segment: Int, _ all: Head, to dScores: inout [Float], keys dKeys: inout [Float],
        values dValues: inout [Float]
    ) {
        let (tokens, slot) = (segment * sizes.length..<(segment + 1) * sizes.length, (sizes.n + segment) * d)
        let slopes = tokens.map { t in
            (0..<d).reduce(Float(0)) {
                $0 + dKeys[slot + $1] * all.keys[t * d + $1] + dValues[slot + $1] * all.values[t * d + $1]
            }
        }
        let mean = zip(tokens, slopes).reduce(0) { $0 + all.p[$1.0] * $1.1 }
        for (t, slope) in zip(tokens, slopes) {
            dScores[t * sizes.h + all.head] += all.p[t] * (slope - mean)
            for c in 0..<d {
                dKeys[t * d + c] += all.p[t] * dKeys[slot + c]
                dValues[t * d + c] += all.p[t] * dValues[slot + c]
            }
        }
    }
}
