import NN
import Tensors

/// A matrix E or F that makes k keys or values of n (2006.04768, section 4, equation 7): K̄ = E K.
///
/// - Parameters:
///   - inputSize: n.
///   - slots: k.
///   - method: how; with a convolution there are n / ⌊n / k⌋ slots, rounded down, which may be more than k.
///   - headDimension: the columns of a head, which a convolution mixes.
///   - bias: whether a learnable matrix has one.
///   - key: what the initial values are drawn from.
public func getEF(
    inputSize: Int, slots: Int, method: ProjectionMethod = .learnable, headDimension: Int? = nil, bias: Bool = true,
    key: RandomKey
) -> SequenceProjection {
    switch method {
    case .learnable:
        let deviation = (2 / Float(inputSize + slots)).squareRoot()
        let bound = 1 / Float(inputSize).squareRoot()
        return SequenceProjection(
            .learnable, slots: slots,
            Parameter(.normal([slots, inputSize], standardDeviation: deviation, key: key.child(0))),
            bias ? Parameter(.uniform([slots], low: -bound, high: bound, key: key.child(1))) : nil)
    case .convolution:
        guard let d = headDimension else { fatalError("getEF: a convolution needs the columns of a head") }
        let step = inputSize / slots
        require(step > 0, "getEF: \(slots) slots of \(inputSize) tokens; a convolution needs at least a token for each")
        let bound = 1 / Float(d * step).squareRoot()
        return SequenceProjection(
            .convolution, slots: inputSize / step,
            Parameter(.uniform([d, d, step], low: -bound, high: bound, key: key.child(0))),
            Parameter(.uniform([d], low: -bound, high: bound, key: key.child(1))))
    case .noParameters:
        let values = Tensor.normal([inputSize, slots], standardDeviation: 1 / Float(slots), key: key)
        return SequenceProjection(.noParameters, slots: slots, Parameter(values, .frozen), nil)
    }
}

/// What `getEF` makes. Keys: weight [k, n] and bias [k] of a learnable matrix; weight [d, d, ⌊n / k⌋] and bias [d] of a
/// convolution; without parameters its own name [n, k], which linformer-pytorch does not save.
public struct SequenceProjection: Sendable {
    public let method: ProjectionMethod
    /// k: rows of the result.
    public let slots: Int
    public let weight: Parameter
    public let bias: Parameter?

    init(_ method: ProjectionMethod, slots: Int, _ weight: Parameter, _ bias: Parameter?) {
        (self.method, self.slots, self.weight, self.bias) = (method, slots, weight, bias)
    }

    /// The same with its first slots only: how layers of fewer slots share a matrix.
    func reduced(to slots: Int) -> SequenceProjection {
        require(method != .convolution || slots == self.slots, "SequenceProjection: a convolution has all of its slots")
        return SequenceProjection(method, slots: slots, weight, bias)
    }

    /// `ProjectionStart.turns`, made of Xavier's numbers; what is not learnable stays as it is.
    func startingInTurns() -> SequenceProjection {
        guard method == .learnable, !Outline.isActive else { return self }
        let (k, n) = (weight.shape[0], weight.shape[1])
        let turns = concatenate([Tensor](repeating: .identity(k), count: (n + k - 1) / k), axis: 1).sliced(1, to: n)
        weight.assign(weight.value * 0.1 + turns)
        return self
    }

    /// Tokens of a convolution's slot; those after the last whole one belong to none.
    var step: Int { weight.shape[2] }

    /// Adds what a state dict has of it, under `name`.
    func collect(_ name: String, into state: inout StateCollector) {
        guard method != .noParameters else { return state.add(name, weight) }
        state.add(name + ".weight", weight)
        if let bias { state.add(name + ".bias", bias) }
    }

    // MARK: All tokens at once

    /// The columns of E that belong to these positions, [k, m]: a view.
    func matrix(_ positions: Range<Int>) -> Tensor {
        switch method {
        case .learnable: weight.value.part(0, 0..<slots).part(1, positions)
        case .noParameters: weight.value.part(0, positions).part(1, 0..<slots).transposed()
        case .convolution: Self.membership(positions, slots: slots, step: step)
        }
    }

    /// [k, m]: 1 where a position lies in a slot.
    private static func membership(_ positions: Range<Int>, slots: Int, step: Int) -> Tensor {
        var values = [Float](repeating: 0, count: slots * positions.count)
        for (column, position) in positions.enumerated() where position / step < slots {
            values[position / step * positions.count + column] = 1
        }
        return Tensor(values, shape: [slots, positions.count])
    }

    /// E x + b for rows of any meaning, x: [b, n, c] → [b, k, c]. Not for convolutions, which know columns.
    func callAsFunction(rows x: Tensor) -> Tensor {
        let y = projectTokens(matrix(0..<x.shape[1]), x)
        guard let bias else { return y }
        return y + bias.value.part(0, 0..<slots).unsqueezed(-1)
    }

    /// Keys or values of heads that share this projection, x: [b, n, h, d] → [b, k, h, d]. Missing tokens count as 0.
    func callAsFunction(heads x: Tensor) -> Tensor {
        let (b, n, h, d) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        guard method == .convolution else {
            return self(rows: x.reshaped([b, n, h * d])).reshaped([b, slots, h, d])
        }
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

    // MARK: Token by token

    /// What every slot holds before the first token, [k, d].
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
