import NN
import Tensors

// E and F, of a head and of all heads of a layer.
//
// b batch, n tokens, h heads, d columns of a head, k slots

/// A matrix E or F that makes k keys or values of n, K̄ = E K (2006.04768, section 4, equation 7); `getEF` makes it.
///
/// Keys: weight [k, n] and bias [k] of a learnable matrix; weight [d, d, ⌊n / k⌋] and bias [d] of a convolution; without
/// parameters its own name [n, k], which linformer-pytorch does not save.
public struct SequenceProjection: Sendable {
    /// The origin of the weights: learned, random and fixed, or a convolution.
    public let method: ProjectionMethod
    /// The rows of the result, k.
    public let slots: Int
    /// The matrix or kernel, of a shape above.
    public let weight: Parameter
    /// The bias, of a shape above; nil without one.
    public let bias: Parameter?

    init(_ method: ProjectionMethod, slots: Int, _ weight: Parameter, _ bias: Parameter?) {
        (self.method, self.slots, self.weight, self.bias) = (method, slots, weight, bias)
    }

    /// The same with its first slots only: how layers of fewer slots share a matrix.
    func reduced(to slots: Int) -> SequenceProjection {
        require(method != .convolution || slots == self.slots, "SequenceProjection: a convolution has all of its slots")
        return SequenceProjection(method, slots: slots, weight, bias)
    }

    /// The columns of E that belong to these positions, [k, n]: a view.
    func matrix(_ positions: Range<Int>) -> Tensor {
        switch method {
        case .learnable: weight.value.part(0, 0..<slots).part(1, positions)
        case .noParameters: weight.value.part(0, positions).part(1, 0..<slots).transposed()
        case .convolution: membership(positions)
        }
    }

    /// E x + b 1ᵀ for heads that share this projection, x: [b, n, h, d] → [b, k, h, d]. Missing tokens count as 0.
    func callAsFunction(_ x: Tensor, implementation: Implementation = .fused) -> Tensor {
        if method == .convolution { return convolved(x) }
        let (b, n, h, d) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let y = projectTokens(matrix(0..<n), x.reshaped([b, n, h * d]), implementation: implementation)
        return addingBias(y).reshaped([b, slots, h, d])
    }

    /// x + b 1ᵀ. x: [b, k, c]
    func addingBias(_ x: Tensor) -> Tensor { bias.map { x + $0.value.part(0, 0..<slots).unsqueezed(-1) } ?? x }

    /// Adds its parameters to a state dict, under `name`.
    func collect(_ name: String, into state: inout StateCollector) {
        guard method != .noParameters else { return state.add(name, weight) }
        state.add(name + ".weight", weight)
        if let bias { state.add(name + ".bias", bias) }
    }
}

/// E (or F) of all heads of a layer.
struct HeadProjections: Sendable {
    /// One for all heads, one for each, or none where heads have other projections.
    let each: [SequenceProjection]

    init(_ heads: [SequenceProjection]) {
        each = heads.allSatisfy { $0.weight === heads[0].weight } ? Array(heads.prefix(1)) : heads
    }

    /// K̄ = E K of each head. x: [b, n, h, d] → [b, k, h, d]
    func callAsFunction(_ x: Tensor, implementation: Implementation = .fused) -> Tensor {
        byHead(x) { $0($1, implementation: implementation) }
    }

    func byHead(_ x: Tensor, _ body: (SequenceProjection, Tensor) -> Tensor) -> Tensor {
        if each.count == 1 { return body(each[0], x) }
        return concatenate(each.indices.map { body(each[$0], x.part(2, $0..<$0 + 1)) }, axis: 2)
    }

    /// e_t of these positions as columns: [k, n] for all heads, or [h, k, n].
    func columns(_ positions: Range<Int>) -> Tensor { forHeads { $0.matrix(positions) } }

    /// The slots before the first token: [k, d] for all heads, or [h, k, d].
    func initialSlots(columns d: Int) -> Tensor { forHeads { $0.initialSlots(columns: d) } }

    /// Keys or values as the slots add them up, [b, n, h, d]: themselves but for convolutions.
    func entering(_ x: Tensor, from position: Int = 0) -> Tensor {
        each[0].method == .convolution ? byHead(x) { $0.entering($1, from: position) } : x
    }

    private func forHeads(_ make: (SequenceProjection) -> Tensor) -> Tensor {
        each.count == 1 ? make(each[0]) : stack(each.map(make))
    }
}

// MARK: Convolutions

extension SequenceProjection {
    /// The tokens of a convolution's slot; those after the last whole one belong to none.
    var step: Int { weight.shape[2] }

    /// The sums of a convolution: 1 where a position lies in a slot, [k, n].
    private func membership(_ positions: Range<Int>) -> Tensor {
        var values = [Float](repeating: 0, count: slots * positions.count)
        for (column, position) in positions.enumerated() where position / step < slots {
            values[position / step * positions.count + column] = 1
        }
        return Tensor(values, shape: [slots, positions.count])
    }

    /// Convolves keys or values into slots, x: [b, n, h, d] → [b, k, h, d].
    private func convolved(_ x: Tensor) -> Tensor {
        let (b, h, d) = (x.shape[0], x.shape[2], x.shape[3])
        let windows = slotWindows(x).permuted([0, 1, 3, 2, 4])  // [b, k, h, step, d]
        let kernel = weight.value.permuted([0, 2, 1]).reshaped([d, step * d])
        return linear(windows.reshaped([b, slots, h, step * d]), weight: kernel, bias: bias?.value)
    }

    /// [b, n, h, d] → [b, k, step, h, d], with zeros for missing tokens and without those that belong to no slot.
    private func slotWindows(_ x: Tensor) -> Tensor {
        let (b, n, h, d) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let whole = slots * step
        let fitting = n < whole ? x.padded(axis: 1, after: whole - n) : x.part(1, 0..<whole)
        return fitting.reshaped([b, slots, step, h, d])
    }

    /// The slots before the first token, [k, d].
    func initialSlots(columns d: Int) -> Tensor {
        guard let bias else { return .zeros([slots, d]) }
        let values = method == .convolution ? bias.value.unsqueezed(0) : bias.value.part(0, 0..<slots).unsqueezed(-1)
        return values.expanded(to: [slots, d])
    }

    /// Keys or values as they enter the slots' sums, from a position on: of a convolution each token through its own part of
    /// the kernel. x: [b, n, h, d] → the same shape.
    func entering(_ x: Tensor, from position: Int = 0) -> Tensor {
        guard method == .convolution else { return x }
        let (b, n, h, d) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let kernels = weight.value.permuted([2, 1, 0])  // [step, in, out]
        let before = position % step
        let windows = (before + n + step - 1) / step
        let padded = x.padded(axis: 1, before: before, after: windows * step - before - n)
        let phases = padded.reshaped([b, windows, step, h, d]).permuted([2, 0, 1, 3, 4])
        let products = matrixProduct(phases.reshaped([step, b * windows * h, d]), kernels)
        return products.reshaped([step, b, windows, h, d]).permuted([1, 2, 0, 3, 4])
            .reshaped([b, windows * step, h, d]).part(1, before..<before + n)
    }
}

extension Tensor {
    /// A range of an axis; itself where that is all.
    func part(_ axis: Int, _ range: Range<Int>) -> Tensor {
        range == 0..<shape[axis] ? self : sliced(axis, from: range.lowerBound, to: range.upperBound)
    }
}
