import Tensors
import Testing

/// A programmer's mistake and what the message it stops with must say: the operation and both shapes.
struct Mistake {
    let message: String
    let make: () -> Void

    init(_ message: String, _ make: @escaping () -> Any) {
        self.message = message
        self.make = { _ = make() }
    }
}

private let a = Tensor.ones([2, 3])
private let b = Tensor.ones([4, 5])
private let leaf = Tensor.ones([2, 3]).requiringGradient()

extension Mistake {
    static var elementwise: [Mistake] {
        [
            Mistake("+: shapes [2, 3] and [4, 5] do not broadcast: axis 0 has 2 and 4") { a + b },
            Mistake("*: shapes [2, 3] and [2] do not broadcast: axis 1 has 3 and 2") { a * Tensor([1, 2]) },
            Mistake("maximum: shapes [2, 3] and [4, 5] do not broadcast") { maximum(a, b) },
            Mistake("power: shapes [2, 3] and [4, 5] do not broadcast") { a.power(b) },
            Mistake(".<: shapes [2, 3] and [4, 5] do not broadcast") { a .< b },
            Mistake("select: shapes [4, 5] and [2, 3] do not broadcast") { select(b, a, a) },
            Mistake("softmax: axis 2 of a tensor with 2 axes") { softmax(a, axis: 2) },
            Mistake("softmax: axis 1 of shape [2, 0] is empty") { softmax(Tensor.zeros([2, 0])) },
            Mistake("sum: axes [0, -2] name an axis twice") { a.sum(axes: [0, -2]) },
            Mistake("mean: axis -3 of a tensor with 2 axes") { a.mean(axes: [-3]) },
            Mistake("maximum: axis 1 of shape [2, 0] is empty") { Tensor.zeros([2, 0]).maximum(axes: [1]) },
            Mistake("argmax: axis 5 of a tensor with 2 axes") { a.argmax(axis: 5) },
            Mistake("cumulativeSum: axis 2 of a tensor with 2 axes") { a.cumulativeSum(axis: 2) },
            Mistake("dropout: probability 1.5; expected 0 to 1") {
                dropout(a, probability: 1.5, key: RandomKey(seed: 1))
            },
        ]
    }
}

extension Mistake {
    static var products: [Mistake] {
        [
            Mistake("matrixProduct: [2, 3] · [4, 5]: inner lengths 3 and 4 differ") { matrixProduct(a, b) },
            Mistake("matrixProduct: [2, 3]ᵀ · [4, 5]ᵀ: inner lengths 2 and 5 differ") {
                matrixProduct(a, b, transposeA: true, transposeB: true)
            },
            Mistake("matrixProduct: [3] · [4, 5]: needs at least two axes") { matrixProduct(Tensor.ones([3]), b) },
            Mistake("matrixProduct: [2, 4, 5] · [3, 5, 6]: shapes [2] and [3] do not broadcast") {
                matrixProduct(Tensor.ones([2, 4, 5]), Tensor.ones([3, 5, 6]))
            },
            Mistake("matrixProduct: the result has shape [2, 2], the destination [2, 3]") {
                matrixProduct(a, a, transposeB: true, into: Tensor.zeros([2, 3]))
            },
            Mistake("linear: x [2, 3] and weight [4, 5]: expected weight [out, 3]") { linear(a, weight: b) },
            Mistake("linear: bias [3] and weight [4, 3]") {
                linear(a, weight: Tensor.ones([4, 3]), bias: Tensor.ones([3]))
            },
            Mistake("linear: residual [2, 3] for an output [2, 4]") {
                linear(a, weight: Tensor.ones([4, 3]), residual: a)
            },
            Mistake("gatedLinear: weight [5, 3] has no two halves") {
                gatedLinear(a, weight: Tensor.ones([5, 3]), gate: .silu)
            },
            Mistake("normLinear: x [2, 3], weight [4, 5], bias []: expected [out, 3]") {
                normLinear(a, norm: .scale(gain: Tensor([1])), weight: b)
            },
            Mistake("normLinear: a norm's parameter [2] for rows of 3; expected [3]") {
                normLinear(a, norm: .rootMeanSquare(weight: Tensor.ones([2])), weight: Tensor.ones([4, 3]))
            },
            Mistake("normLinear: 2 delayed columns of x [3]; expected at most 3, and an axis of tokens") {
                normLinear(Tensor.ones([3]), norm: .scale(gain: Tensor([1])), delayedColumns: 2, [])
            },
            Mistake("normLinear: 4 delayed columns of x [2, 3]; expected at most 3, and an axis of tokens") {
                normLinear(a, norm: .scale(gain: Tensor([1])), delayedColumns: 4, [])
            },
            Mistake("layerNorm: x of shape [2, 3] with a parameter of shape [2]; expected [3]") {
                layerNorm(a, weight: Tensor.ones([2]))
            },
            Mistake("rmsNorm: x of shape [2, 3] with a parameter of shape [1]; expected [3]") {
                rmsNorm(a, weight: Tensor.ones([1]))
            },
            Mistake("scaleNorm: x of shape [2, 3], gain of shape [3]; expected one element") {
                scaleNorm(a, gain: Tensor.ones([3]))
            },
            Mistake("l2Normalized: axis 2 of a tensor with 2 axes") { a.l2Normalized(axis: 2) },
            Mistake("layerNorm: shape [2, 0] has no last axis") { layerNorm(Tensor.zeros([2, 0])) },
            Mistake("crossEntropy: logits [2, 3] and targets [3]") { crossEntropy(a, TokenTensor([0, 1, 2])) },
            Mistake("crossEntropy: target 3 of 3 classes") { crossEntropy(a, TokenTensor([0, 3])) },
            Mistake("crossEntropy: x [2, 3] and targets [3]") { projectedLoss([0, 1, 2], weight: [4, 3]) },
            Mistake("crossEntropy: target 4 of 4 classes") { projectedLoss([0, 4], weight: [4, 3]) },
            Mistake("crossEntropy: target -2 of 4 classes") { projectedLoss([-2, -1], weight: [4, 3]) },
            Mistake("crossEntropy: x [2, 3], weight [4, 5], bias []: expected [out, 3]") {
                projectedLoss([0, 1], weight: [4, 5])
            },
            Mistake("crossEntropy: x [2, 3], weight [4, 3], bias [3]: expected [out, 3]") {
                projectedLoss([0, 1], weight: [4, 3], bias: .ones([3]))
            },
            Mistake("crossEntropy: a norm's parameter [2] for rows of 3; expected [3]") {
                projectedLoss([0, 1], norm: .rootMeanSquare(weight: .ones([2])), weight: [4, 3])
            },
            Mistake("crossEntropy: x [2, 3] and targets [3]") {
                classLosses(a, projection: Projection(weight: .ones([4, 3])), targets: TokenTensor([0, 1, 2])).losses
            },
            Mistake("crossEntropy: logits [2, 3] and targets [3]") { classLosses(a, TokenTensor([0, 1, 2])).losses },
            Mistake("convolution1D: input [2, 3], weight [4, 5]: expected three axes") { convolution1D(a, weight: b) },
            Mistake("convolution1D: input [1, 4, 9], weight [2, 3, 3]: channels do not fit 1 groups") {
                convolution1D(Tensor.ones([1, 4, 9]), weight: Tensor.ones([2, 3, 3]))
            },
            Mistake("the kernel reaches over 5 of 4 padded elements") {
                convolution1D(Tensor.ones([1, 1, 2]), weight: Tensor.ones([1, 1, 3]), padding: 1, dilation: 2)
            },
            Mistake("convolution1D: input [1, 2, 9], weight [4, 2, 3]: bias [3]") {
                convolution1D(Tensor.ones([1, 2, 9]), weight: Tensor.ones([4, 2, 3]), bias: Tensor.ones([3]))
            },
        ]
    }
}

private func projectedLoss(
    _ targets: [Int32], norm: Norm? = nil, weight: [Int], bias: Tensor? = nil
) -> Tensor {
    crossEntropy(
        a, norm: norm, projection: Projection(weight: .ones(weight), bias: bias), targets: TokenTensor(targets),
        ignoreIndex: -1)
}

private func feed(
    _ x: Tensor = a, norm: Norm? = nil, up: [Int] = [8, 3], bias: Tensor? = nil, gated: Bool = true,
    dropout: Double = 0, down: [Int] = [5, 4], residual: Tensor? = nil
) -> Tensor {
    feedForward(
        x, norm: norm, up: Projection(weight: .ones(up), bias: bias), activation: .gelu, isGated: gated,
        dropout: dropout, down: Projection(weight: .ones(down)), residual: residual)
}

extension Mistake {
    static var feedForwards: [Mistake] {
        [
            Mistake("feedForward: x [] has no last axis") { feed(Tensor(1)) },
            Mistake("feedForward: x [2, 3], weight [8, 4], bias []: expected [out, 3]") { feed(up: [8, 4]) },
            Mistake("feedForward: x [2, 3], weight [8, 3], bias [4]: expected [out, 3]") {
                feed(bias: Tensor.ones([4]))
            },
            Mistake("feedForward: weight [7, 3] of a gate has no two halves") { feed(up: [7, 3]) },
            Mistake("feedForward: down of [2, 8], weight [5, 4], bias []: expected [out, 8]") { feed(gated: false) },
            Mistake("feedForward: residual [2, 3] for an output [2, 5]") { feed(residual: a) },
            Mistake("feedForward: x [2, 3] cannot be added to an output [2, 5]") {
                feedForward(
                    a, up: Projection(weight: .ones([4, 3])), activation: .gelu,
                    down: Projection(weight: .ones([5, 4])),
                    residual: .input)
            },
            Mistake("feedForward: dropout 1.5; expected 0 to 1") { feed(dropout: 1.5) },
            Mistake("feedForward: a norm's parameter [2] for rows of 3; expected [1]") {
                feed(norm: .scale(gain: Tensor.ones([2])))
            },
        ]
    }
}

private let rounded = WeightMatrix.rounded(RoundedMatrix(.ones([4, 3]), .int8))
private var roundedParameter: Parameter {
    let parameter = Parameter(.ones([4, 3]), isMatrix: true)
    parameter.round(to: .bfloat16)
    return parameter
}

extension Mistake {
    static var roundedWeights: [Mistake] {
        let reason = "is rounded to int8 and has no gradient; expected a call inside withoutGradients"
        return [
            Mistake("linear: the weight [4, 3] \(reason)") { linear(a, weight: rounded) },
            Mistake("linear: the weight [4, 3] \(reason)") { linear(leaf, weight: rounded, residual: .ones([2, 4])) },
            Mistake("normLinear: x [2, 3]: the weight [4, 3] \(reason)") {
                normLinear(a, norm: .scale(gain: Tensor([1])), weight: rounded)
            },
            Mistake("feedForward: x [2, 3]: the weight [4, 3] \(reason)") {
                feedForward(
                    a, up: Projection(weight: rounded), activation: .gelu, down: Projection(weight: .ones([3, 4])))
            },
            Mistake("embedding: the weight [4, 3] \(reason)") { embedding(rounded, TokenTensor([0])) },
            Mistake("embedding: token 4 of a table of shape [4, 3]") { embedding(rounded, TokenTensor([4])) },
            Mistake("linear: x [2, 3] and weight [4, 5]: expected weight [out, 3]") {
                withoutGradients { linear(a, weight: .rounded(RoundedMatrix(b, .bfloat16))) }
            },
            Mistake(
                "Parameter.value: the floats of a parameter of shape [4, 3] are gone, it is rounded to bfloat16; expected "
                    + "matrix or floats()"
            ) { roundedParameter.value },
            Mistake("Parameter.value: the floats of a parameter of shape [4, 3] are gone") {
                roundedParameter.assign(.ones([4, 3]))
            },
            Mistake("RoundedMatrix: shape [3]; expected two axes") { RoundedMatrix(.ones([3]), .int8) },
        ]
    }
}

extension Mistake {
    static var shapes: [Mistake] {
        [
            Mistake("reshaped: shape [2, 3] has 6 elements, [4] has not") { a.reshaped([4]) },
            Mistake("reshaped: 6 elements of [2, 3] into [1, 4]") { a.reshaped([-1, 4]) },
            Mistake("permuted: axes [0, 0] of a tensor of shape [2, 3]") { a.permuted([0, 0]) },
            Mistake("transposed: axis -3 of a tensor with 2 axes") { a.transposed(-3, 0) },
            Mistake("sliced: 1 to 4 by 1 of axis 1 of shape [2, 3]") { a.sliced(1, from: 1, to: 4) },
            Mistake("sliced: -1 to 3 by 1 of axis 1 of shape [2, 3]") { a.sliced(1, from: -1) },
            Mistake("sliced: step 0") { a.sliced(1, by: 0) },
            Mistake("at: index 2 of axis 0 of shape [2, 3]") { a.at(0, 2) },
            Mistake("squeezed: axis 1 of shape [2, 3] has length 3") { a.squeezed(1) },
            Mistake("unsqueezed: axis 4 of a tensor with 3 axes") { a.unsqueezed(4) },
            Mistake("expanded: shape [2, 3] to [4, 3]") { a.expanded(to: [4, 3]) },
            Mistake("concatenate: no tensors") { concatenate([]) },
            Mistake("concatenate: shapes [2, 3] and [4, 5] along axis 0") { concatenate([a, b]) },
            Mistake("stack: shapes [2, 3] and [4, 5]") { stack([a, b]) },
            Mistake("stack: no tensors") { stack([]) },
            Mistake("split: sizes [1, 1] of axis 1 of shape [2, 3]") { a.split(sizes: [1, 1]) },
            Mistake("split: 2 equal parts of axis 1 of shape [2, 3]") { a.split(count: 2) },
            Mistake("padded: axis 1 of shape [2, 3] by -2 and -2") { a.padded(axis: 1, before: -2, after: -2) },
            Mistake("rolled: axis 2 of a tensor with 2 axes") { a.rolled(by: 1, axis: 2) },
            Mistake("lowerTriangle: shape [3]; expected at least two axes") { Tensor.ones([3]).lowerTriangle() },
            Mistake("embedding: table of shape [3]; expected two axes") {
                embedding(Tensor.ones([3]), TokenTensor([0]))
            },
            Mistake("embedding: token 2 of a table of shape [2, 3]") { embedding(a, TokenTensor([1, 2])) },
            Mistake("taking: index -1 of axis 1 of shape [2, 3]") { a.taking(TokenTensor([-1]), axis: 1) },
            Mistake("scatterAdded: rows of shape [2, 4] at indices of shape [2] into shape [2, 3]") {
                a.scatterAdded(TokenTensor([0, 1]), Tensor.ones([2, 4]))
            },
            Mistake("gathered: indices of shape [3, 1] from shape [2, 3]") {
                a.gathered(TokenTensor([0, 0, 0], shape: [3, 1]))
            },
            Mistake("topK: 4 of the last axis of shape [2, 3]") { a.topK(4) },
            Mistake("fans: shape [3]; expected at least two axes") { fans(of: [3]) },
            Mistake("orthogonal: shape [3]; expected at least two axes") {
                Tensor.orthogonal([3], key: RandomKey(seed: 1))
            },
        ]
    }
}

extension Mistake {
    static var core: [Mistake] {
        [
            Mistake("Tensor: 2 values for shape [3]") { Tensor([1, 2], shape: [3]) },
            Mistake("Tensor: negative length in shape [2, -1]") { Tensor.zeros([2, -1]) },
            Mistake("TokenTensor: 2 values for shape [3]") { TokenTensor([1, 2], shape: [3]) },
            Mistake("item: a tensor of shape [2, 3] has 6 elements") { a.item },
            Mistake("pointer: a view of shape [3, 2] with strides [1, 3]; call contiguous() first") {
                a.transposed().pointer
            },
            Mistake("length: axis 2 of a tensor with 2 axes") { a.length(2) },
            Mistake("Parameter.assign: shape [4, 5] for a parameter of shape [2, 3]") { Parameter(a).assign(b) },
            Mistake("Threads.count: 0 threads; expected at least 1") { Threads.count = 0 },
            Mistake("gradients: the loss has shape [2, 3]; expected one element") { gradients(of: leaf) },
            Mistake("gradients: the output does not depend on any parameter") { gradients(of: a.sum()) },
            Mistake("gradients: output [2, 3] but seed [4, 5]") { gradients(of: leaf, seed: b) },
            Mistake("Gradients: the tensor of shape [4, 5] is no leaf") {
                var result = Gradients()
                result[b] = b
                return result
            },
            Mistake("gradients: the graph of sum has been used already; run forward again") {
                let loss = leaf.sum()
                return (gradients(of: loss), gradients(of: loss))
            },
            Mistake("gradients: the graph of exp has been used already; run forward again") {
                let shared = exp(leaf)
                return (gradients(of: shared.sum()), gradients(of: (shared * 2).sum()))
            },
            Mistake("gradient of shape [4, 5] for an output of leaf of shape [2, 3]") {
                gradients(of: Tensor.record("wrong", a, (leaf, { _ in b })).sum())
            },
        ]
    }
}
