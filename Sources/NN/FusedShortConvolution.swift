import CKernels
import Tensors

// The fused form of `shortConvolution`: one pass over the tokens, and one for all gradients, in which the sums before the
// activation are computed again.

/// A convolution's inputs, and the split of the work into pieces of some tokens and channels.
struct FusedShortConvolution: Sendable {
    private let x: Tensor
    /// w by taps, [k, c]
    private let weight: Tensor
    /// [c], zeros where there is none.
    private let bias: Tensor
    /// [b, k − 1, c], zeros where there is none.
    private let history: Tensor
    private let activation: Activation
    private let b: Int, n: Int, c: Int, k: Int
    /// The channels of each part.
    private let parts: [Int]
    /// The channels of pieces, each of one part.
    private let strips: [Strip]
    /// Tokens of a piece: at least as many as another piece sees of them.
    private let span: Int

    /// Channels of a piece: the rows that it works in stay in the L1 cache.
    private static let width = 512
    /// Products that are not worth waking another thread for.
    private static let smallest = 1 << 15

    init(_ x: Tensor, weight: Tensor, bias: Tensor?, history: Tensor?, activation: Activation, parts: [Int]) {
        (b, n, c, k) = (x.shape[0], x.shape[1], x.shape[2], weight.shape[1])
        self.x = Self.readable(x)
        self.weight = weight.detached().transposed().contiguous()
        self.bias = bias?.detached().contiguous() ?? .zeros([c])
        self.history = history.map { Self.readable($0) } ?? Tensor.zeros([c]).expanded(to: [b, k - 1, c])
        self.activation = activation
        self.parts = parts
        // Each piece adds up a gradient of the weights of its own: not too many, whatever the number of tokens.
        span = max(128, k, (b * n + 255) / 256)
        strips = zip(parts.indices, columns(parts)).flatMap { part, channels in
            stride(from: channels.lowerBound, to: channels.upperBound, by: Self.width).map {
                Strip(
                    part: part, channels: $0..<min($0 + Self.width, channels.upperBound),
                    offset: $0 - channels.lowerBound)
            }
        }
    }

    /// Some channels of a part, the first of which is `offset` in the part.
    private struct Strip {
        let part: Int, channels: Range<Int>, offset: Int
    }

    /// Returns x without its history, its channels side by side.
    private static func readable(_ x: Tensor) -> Tensor {
        let x = x.detached()
        return x.strides[2] == 1 || x.shape[2] == 1 ? x : x.contiguous()
    }

    /// Some tokens of one sequence, and some channels.
    private struct Piece {
        let batch: Int, tokens: Range<Int>, strip: Strip
        /// The number of the tokens' piece, counted through all sequences.
        let number: Int
    }

    private var spans: Int { (n + span - 1) / span }

    private func forEachPiece(_ body: (Piece) -> Void) {
        func run(_ index: Int) {
            let number = index / strips.count
            let first = number % spans * span
            body(
                Piece(
                    batch: number / spans, tokens: first..<min(first + span, n), strip: strips[index % strips.count],
                    number: number))
        }
        let count = b * spans * strips.count
        if b * n * c * k < Self.smallest {
            for index in 0..<count { run(index) }
        } else {
            parallelFor(count, run)
        }
    }

    /// Finds the row of a token, which is one of the history where it is negative.
    private func row(_ piece: Piece, _ token: Int) -> (row: UnsafePointer<Float>, stride: Int) {
        let (tensor, index) = token < 0 ? (history, token + k - 1) : (x, token)
        let place = piece.batch * tensor.strides[0] + index * tensor.strides[1] + piece.strip.channels.lowerBound
        return (tensor.basePointer + place, tensor.strides[1])
    }

    /// Computes the parts of y, [b, n, part], each in memory of its own.
    func forward() -> [Tensor] {
        let y = parts.map { Tensor(uninitialized: [b, n, $0]) }
        let targets = y.map(\.mutablePointer)
        forEachPiece { piece in
            let (tokens, strip) = (piece.tokens, piece.strip)
            let (width, channel) = (parts[strip.part], strip.channels.lowerBound)
            let (before, rows) = (row(piece, tokens.lowerBound - k + 1), row(piece, tokens.lowerBound))
            az_short_convolution_forward(
                tokens.count, strip.channels.count, k, activation.kernels?.forward, weight.pointer + channel, c,
                bias.pointer + channel, before.row, before.stride, rows.row, rows.stride,
                targets[strip.part] + (piece.batch * n + tokens.lowerBound) * width + strip.offset, width)
        }
        return y
    }

    /// The gradients of x, weight, bias and history.
    struct Gradients {
        let x: Tensor, weight: Tensor, bias: Tensor, history: Tensor
    }

    /// Computes all gradients from the parts of y and their gradients, [b, n, part]; nil for zeros.
    func backward(_ y: [Tensor], _ gradients: [Tensor?]) -> Gradients {
        let zeros = Tensor.zeros([c])
        let dy = gradients.map { $0.map(Self.readable) ?? zeros.expanded(to: [b, n, c]) }
        let (dx, dHistory) = (Tensor(uninitialized: [b, n, c]), Tensor.zeros([b, k - 1, c]))
        let sums = Tensor.zeros([max(b * spans, 1), k + 1, c])  // of each piece, for the taps and the bias
        let targets = (x: dx.mutablePointer, history: dHistory.mutablePointer, sums: sums.mutablePointer)
        forEachPiece { piece in
            let (tokens, strip) = (piece.tokens, piece.strip)
            let (channel, count, width) = (strip.channels.lowerBound, strip.channels.count, parts[strip.part])
            let (before, rows) = (row(piece, tokens.lowerBound - k + 1), row(piece, tokens.lowerBound))
            let token = piece.batch * n + tokens.lowerBound
            let part = dy[strip.part]
            let gradient = part.basePointer + piece.batch * part.strides[0] + tokens.lowerBound * part.strides[1]
            let taps = targets.sums + piece.number * (k + 1) * c + channel
            withUnsafeTemporaryAllocation(of: Float.self, capacity: (k + 2) * count) { scratch in
                az_short_convolution_backward(
                    tokens.count, min(k - 1, n - tokens.upperBound), count, k, activation.kernels?.forward,
                    activation.kernels?.backward, weight.pointer + channel, c, bias.pointer + channel, before.row,
                    before.stride, rows.row, rows.stride, y[strip.part].pointer + token * width + strip.offset, width,
                    gradient + strip.offset, part.strides[1],
                    tokens.lowerBound == 0 ? targets.history + piece.batch * (k - 1) * c + channel : nil,
                    targets.x + token * c + channel, c, taps, c, taps + k * c, scratch.baseAddress)
            }
        }
        let sum = sums.sum(axes: [0])  // [k + 1, c]
        return Gradients(
            x: dx, weight: sum.sliced(0, to: k).transposed().contiguous(), bias: sum.at(0, k).contiguous(),
            history: dHistory)
    }
}

/// Computes the parts of `shortConvolution` in one pass. Views are read in place.
func fusedShortConvolution(
    _ x: Tensor, weight: Tensor, bias: Tensor?, after history: Tensor?, activation: Activation, parts: [Int]
) -> [Tensor] {
    let convolution = FusedShortConvolution(
        x, weight: weight, bias: bias, history: history, activation: activation, parts: parts)
    let y = convolution.forward()
    let inputs = [x, weight] + [bias, history].compactMap { $0 }
    let (hasBias, hasHistory) = (bias != nil, history != nil)
    return Tensor.record("shortConvolution", outputs: y, inputs: inputs) { parts, slots in
        let gradients = convolution.backward(y, parts)
        slots[0].add(gradients.x)
        slots[1].add(gradients.weight)
        if hasBias { slots[2].add(gradients.bias) }
        if hasHistory { slots[slots.count - 1].add(gradients.history) }
    }
}
