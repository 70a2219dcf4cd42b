import CKernels
import Tensors

// Mixed chunk attention (2202.10447, section 3.2) as one operation: quadratic attention inside groups of g tokens, linear
// attention across them, and the gate.
//
// Axes: b batch, n tokens, g group, s query/key dimension, e expanded dimension.
//
//     v, u = silu(hidden)            q₁, q₂, k₁, k₂ = rotate(silu(qk) ⊙ γ + β)
//     A = f(q₁ k₁ᵀ / g + B) ⊙ tril   H = Σ over earlier groups of k₂ᵀ v / g      out = u ⊙ (A v + q₂ H)
//
// A group is worked on as tiles that stay in cache; neither scores, v, u nor the four heads are stored for backward, which
// computes them again. H is stored, once a group. Work is split over units: runs of groups of one sequence.

/// Causal mixed chunk attention: u ⊙ (A v + q₂ H).
///
/// - Parameters:
///   - hidden: v and the gate u before their silu, [b, n, 2e].
///   - qk: the shared projection before its silu, [b, n, s].
///   - gamma, beta: scale and offset of the heads q₁, q₂, k₁, k₂, [4, s].
///   - bias: of the scores by relative position j − i = −(g − 1) … g − 1, [2g − 1].
///   - rotary: the rotation of positions 0 ..< n, if any.
/// - Returns: [b, n, e].
public func mixedChunkAttention(
    hidden: Tensor, qk: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor, rotary: RotaryTable? = nil, groupSize: Int,
    function: AttentionFunction = .laplace
) -> Tensor {
    MixedChunkAttention(
        hidden: hidden, qk: qk, gamma: gamma, beta: beta, bias: bias, mask: nil, rotary: rotary, groupSize: groupSize,
        function: function, context: .earlierGroups, divisors: nil, dropout: 0, key: nil
    ).record()
}

/// How linear attention sums over groups.
enum LinearContext: Sendable {
    /// Causal: the groups before. H = Σ k₂ᵀ v / g
    case earlierGroups
    /// All groups of the sequence. H = Σ k₂ᵀ v / divisor
    case allGroups
    /// Only the group itself. H = k₂ᵀ v / divisor
    case ownGroup
}

/// What mixed chunk attention is computed from, and how.
struct MixedChunkAttention: Sendable {
    /// Before their activation: [b, n, 2e] (v first, then the gate) and [b, n, s].
    let hidden: Tensor, qk: Tensor
    /// Scales and offsets of the heads q₁, q₂, k₁, k₂: [4, s].
    let gamma: Tensor, beta: Tensor
    /// The bias by distance: element j − i + g − 1 is B[i, j]. [2g − 1]
    let bias: Tensor
    /// 1 where a key takes part, else 0: [b, n].
    let mask: Tensor?
    let rotary: RotaryTable?
    let groupSize: Int
    let function: AttentionFunction
    let context: LinearContext
    let dropout: Float
    /// What dropout draws from; nil for none.
    let key: RandomKey?
    /// What H is divided by in each row of the batch.
    let divisors: [Float]

    let b: Int, n: Int, s: Int, e: Int
    var g: Int { groupSize }
    var isCausal: Bool { if case .earlierGroups = context { true } else { false } }
    /// How the work is split; the same in forward and backward.
    let units: [GroupRun]

    init(
        hidden: Tensor, qk: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor, mask: Tensor?, rotary: RotaryTable?,
        groupSize: Int, function: AttentionFunction, context: LinearContext, divisors: [Float]?, dropout: Float,
        key: RandomKey?
    ) {
        (b, n, s, e) = (qk.shape[0], qk.shape[1], qk.shape[2], hidden.shape[2] / 2)
        require(
            hidden.shape == [b, n, 2 * e] && gamma.shape == [4, s] && beta.shape == [4, s]
                && bias.shape == [2 * groupSize - 1] && (mask == nil || mask!.shape == [b, n]),
            "mixedChunkAttention: hidden \(hidden.shape), qk \(qk.shape), gamma \(gamma.shape), bias \(bias.shape), "
                + "mask \(mask?.shape ?? [])")
        self.hidden = hidden.contiguous()
        self.qk = qk.contiguous()
        self.gamma = gamma.contiguous()
        self.beta = beta.contiguous()
        self.bias = bias.contiguous()
        self.mask = mask?.contiguous()
        self.rotary = rotary
        self.groupSize = groupSize
        self.function = function
        self.context = context
        self.dropout = dropout
        self.key = key
        let divisor: Float
        if case .earlierGroups = context { divisor = Float(groupSize) } else { divisor = Float(n) }
        units = Self.makeUnits(b, groups: (n + groupSize - 1) / groupSize)
        self.divisors = divisors ?? Array(repeating: divisor, count: qk.shape[0])
    }

    /// The gated output, [b, n, e].
    func record() -> Tensor {
        let output = Tensor(uninitialized: [b, n, e])
        // Before the gate; backward needs it for the gate's gradient.
        let attended = Tensor(uninitialized: [b, n, e])
        let inputs = [hidden, qk, gamma, beta, bias]
        let contexts = forward(attended.mutablePointer, output.mutablePointer, keeping: Tensor.records(inputs))
        return .record("mixedChunkAttention", output, inputs: inputs) { gradient, slots in
            MixedChunkBackward(self, attended, contexts, gradient.contiguous()).run(slots)
        }
    }

    // MARK: Forward

    /// Fills `attended` and `output`, and returns H as each group of each unit saw it, or nothing unless `keeping`.
    private func forward(
        _ attended: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>, keeping: Bool
    ) -> [[Tensor?]] {
        let starts = contexts { tile, context in tile.addContext(to: context) }
        var seen = [[Tensor?]](repeating: [], count: units.count)
        seen.withUnsafeMutableBufferPointer { seen in
            parallelFor(units.count) { index in
                var context = starts?[index]
                forward(units[index], &context, attended, output) { if keeping { seen[index].append($0) } }
            }
        }
        return seen
    }

    private func forward(
        _ unit: GroupRun, _ context: inout Tensor?, _ attended: UnsafeMutablePointer<Float>,
        _ output: UnsafeMutablePointer<Float>, _ keep: (Tensor?) -> Void
    ) {
        let tile = GroupTile(self)
        for group in unit.groups {
            tile.load(unit.row, tokens(group))
            if case .ownGroup = self.context { context = tile.addingContext(to: nil) }
            keep(context)
            let place = (unit.row * n + tile.tokens.lowerBound) * e
            tile.attend(context: context?.pointer, into: attended + place)
            tile.gate(attended + place, into: output + place)
            if isCausal && group + 1 < unit.groups.upperBound { context = tile.addingContext(to: context) }
        }
    }
}

extension MixedChunkAttention {
    /// A, what each query takes of each key of its group: [b, 1, n, n], 0 across groups. Its rows do not sum to 1.
    func weights() -> Tensor {
        let result = Tensor.zeros([b, 1, n, n])
        let target = result.mutablePointer
        parallelFor(units.count) { index in
            let tile = GroupTile(self)
            for group in units[index].groups {
                tile.load(units[index].row, tokens(group))
                let first = tile.tokens.lowerBound
                tile.copyWeights(into: target + (units[index].row * n + first) * n + first, stride: n)
            }
        }
        return result
    }
}

/// The function of the quadratic scores.
public enum AttentionFunction: String, Sendable {
    /// relu(x)² (Primer, 2109.08668)
    case reluSquared
    /// (1 + erf((x − √½)/(√(1/4π) √2)))/2 (Mega, 2209.10655)
    case laplace

    /// What pictures call it.
    var label: String { self == .laplace ? "Laplace" : "relu²" }

    var activation: Activation { self == .laplace ? .laplace : .reluSquared }

    var forward: az_row_function { self == .laplace ? az_laplace_forward : az_relu2_forward }
    var backward: az_row_gradient_function { self == .laplace ? az_laplace_backward : az_relu2_backward }
}
