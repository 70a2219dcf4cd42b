import AttentionZooTestSupport
import NN
import Tensors
import Testing

/// A convolution's sizes, drawn.
struct ConvolutionCase: CustomTestStringConvertible, Sendable {
    let number: Int
    let b: Int, n: Int, c: Int, k: Int
    let activation: Activation
    let hasBias: Bool, hasHistory: Bool, readsLast: Bool
    /// True if x is some columns of a wider matrix.
    let isView: Bool

    init(_ number: Int) {
        self.number = number
        let draws = RandomKey(seed: UInt64(number)).integers(9)
        func one<Value>(_ index: Int, of values: [Value]) -> Value { values[Int(draws[index] % UInt64(values.count))] }
        (b, n) = (one(0, of: [1, 2, 3]), one(1, of: [0, 1, 2, 3, 5, 17, 127, 128, 129, 131, 300]))
        (c, k) = (one(2, of: [1, 3, 16, 37, 520]), one(3, of: [1, 2, 3, 4, 4, 4, 5, 7, 8, 9]))
        activation = one(4, of: Activation.allCases)
        (hasBias, hasHistory) = (one(5, of: [true, false]), one(6, of: [true, false]) && k > 1)
        (readsLast, isView) = (one(7, of: [true, false]), one(8, of: [true, false]))
    }

    var testDescription: String {
        "\(number): \(b) × \(n) × \(c), kernel \(k), \(activation)\(hasBias ? " bias" : "")"
            + "\(hasHistory ? " history" : "")\(readsLast ? " reads last" : "")\(isView ? " view" : "")"
    }

    /// x (or what it is a view of), weight, then bias and history where there are any.
    func inputs() -> [Tensor] {
        let key = RandomKey(seed: UInt64(number))
        func random(_ shape: [Int], _ index: Int) -> Tensor { .normal(shape, key: key.child(index)) }
        return [random([b, n, isView ? c + 3 : c], 1), random([c, k], 2)]
            + (hasBias ? [random([c], 3)] : []) + (hasHistory ? [random([b, k - 1, c], 4)] : [])
    }

    func run(
        _ inputs: [Tensor], _ implementation: Implementation, activation: Activation? = nil
    ) -> (output: Tensor, last: Tensor) {
        shortConvolution(
            isView ? inputs[0].sliced(2, from: 2, to: c + 2) : inputs[0], weight: inputs[1],
            bias: hasBias ? inputs[2] : nil, after: hasHistory ? inputs[inputs.count - 1] : nil,
            activation: activation ?? self.activation, implementation: implementation)
    }

    /// The largest Σ|terms| of the gradients of weight and bias, which are sums over all tokens that may cancel, where
    /// the outputs are weighted with `probe`: from the slopes of the outputs, and a convolution without signs.
    func magnitudes(probe: Tensor) throws -> [Double] {
        let sums = run(inputs(), .plain, activation: .identity).output.detached().requiringGradient()
        let slopes = abs(try #require(gradients(of: (activation(sums) * probe).sum())[sums]))
        let leaves = inputs().map { abs($0).detached().requiringGradient() }
        let all = gradients(of: (run(leaves, .plain, activation: .identity).output * slopes).sum())
        return try leaves[1..<(hasBias ? 3 : 2)].map { largest(try #require(all[$0]).values) }
    }
}

@Suite("Short convolutions") struct ShortConvolutionTests {
    private func normal(_ shape: [Int], seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }

    @Test("Plain and fused convolutions agree in all they compute", arguments: (0..<150).map(ConvolutionCase.init))
    func formsAgree(_ test: ConvolutionCase) throws {
        func run(_ implementation: Implementation) throws -> (values: [Tensor], gradients: [Tensor]) {
            let leaves = test.inputs().map { $0.requiringGradient() }
            let (output, last) = test.run(leaves, implementation)
            var loss = (output * normal(output.shape, seed: 7)).sum()
            if test.readsLast { loss = loss + (last * normal(last.shape, seed: 8)).sum() }
            let all = gradients(of: loss)
            return ([output.detached(), last.detached()], try leaves.map { try #require(all[$0]) })
        }
        let (got, expected) = (try run(.fused), try run(.plain))
        for index in 0..<2 {
            #expect(got.values[index].shape == expected.values[index].shape)
            expectClose(got.values[index].values, expected.values[index].values, terms: test.k + 12)
        }
        let names = ["x", "weight"] + (test.hasBias ? ["bias"] : []) + (test.hasHistory ? ["history"] : [])
        let magnitudes = try test.magnitudes(probe: normal(got.values[0].shape, seed: 7))
        for (index, name) in names.enumerated() {
            let (gradient, wanted) = (got.gradients[index], expected.gradients[index])
            #expect(gradient.shape == wanted.shape)
            let isSum = name == "weight" || name == "bias"
            expectClose(
                gradient.values, wanted.values, terms: (isSum ? test.b * test.n : test.k) + test.k + 12,
                magnitude: isSum ? magnitudes[index - 1] : nil, name)
        }
    }

    @Test("Gradients of a fused convolution are its differences")
    func gradientsAreDifferences() {
        let mismatches = checkGradients(
            of: { shortConvolution($0[0], weight: $0[1], bias: $0[2], after: $0[3]).output },
            at: [
                normal([2, 4, 3], seed: 1), normal([3, 4], seed: 2), normal([3], seed: 3), normal([2, 3, 3], seed: 4),
            ])
        #expect(mismatches == [])
    }

    @Test(
        "One token after another gives the bits of the sequence, each sequence with its own history", arguments: 1...6)
    func stepsAreTheSequence(_ kernel: Int) {
        let (sequences, n, c) = (3, 12, 37)
        let (wide, weight) = (normal([sequences, n, c + 5], seed: 1), normal([c, kernel], seed: 2))
        let (x, bias, start) = (
            wide.sliced(2, to: c), normal([c], seed: 3), normal([sequences, kernel - 1, c], seed: 4)
        )
        let whole = shortConvolution(x, weight: weight, bias: bias, after: start)
        var history = start
        for t in 0..<n {
            let (y, last) = shortConvolution(
                x.sliced(1, from: t, to: t + 1), weight: weight, bias: bias, after: history)
            #expect(y.values == whole.output.sliced(1, from: t, to: t + 1).values, "token \(t)")
            history = last
        }
        #expect(history.values == whole.last.values)
    }

    @Test(
        "Parts of the channels are those of the whole, gradients too, read or not", arguments: Implementation.allCases)
    func partsAreColumns(_ implementation: Implementation) throws {
        let (x, weight) = (normal([2, 9, 700], seed: 1), normal([700, 4], seed: 2))
        let probe = normal([2, 9, 700], seed: 3)
        func run(_ parts: [Int], _ read: [Int]) throws -> [Tensor] {
            let leaves = [x, weight].map { $0.requiringGradient() }
            let (outputs, _) = shortConvolution(
                leaves[0], parts: parts, weight: leaves[1], implementation: implementation)
            var (loss, first) = (Tensor.zeros([]), 0)
            for (index, output) in outputs.enumerated() {
                if read.contains(index) {
                    loss = loss + (output * probe.sliced(2, from: first, to: first + parts[index])).sum()
                }
                first += parts[index]
            }
            let all = gradients(of: loss)
            return [concatenate(outputs, axis: 2).detached()] + (try leaves.map { try #require(all[$0]) })
        }
        let (whole, parts) = (try run([700], [0]), try run([20, 580, 100], [0, 1, 2]))
        for (got, expected) in zip(parts, whole) { #expect(got.values == expected.values) }
        let some = try run([20, 580, 100], [1])
        #expect(some[1].sliced(2, from: 20, to: 600).values == whole[1].sliced(2, from: 20, to: 600).values)
        #expect(some[2].sliced(0, from: 20, to: 600).values == whole[2].sliced(0, from: 20, to: 600).values)
        #expect(some[1].sliced(2, to: 20).values.allSatisfy { $0 == 0 })
        #expect(some[2].sliced(0, from: 600).values.allSatisfy { $0 == 0 })
    }

    /// In a process of its own, as the number of threads is one for all tests.
    @Test("Threads that share the tokens give the same bits")
    func threadsAgree() async {
        await #expect(processExitsWith: .success) {
            let x = Tensor.normal([3, 300, 600], key: RandomKey(seed: 1))
            let weight = Tensor.normal([600, 4], key: RandomKey(seed: 2))
            func run(threads: Int) -> [[Float]] {
                Threads.count = threads
                let leaves = [x, weight].map { $0.requiringGradient() }
                let y = shortConvolution(leaves[0], weight: leaves[1]).output
                let all = gradients(of: (y * y).sum())
                return [y.values] + leaves.map { all[$0]!.values }
            }
            require(run(threads: 3) == run(threads: 1), "three threads differ from one")
        }
    }

    @Test("A history that ends a longer text is not kept with it")
    func theHistoryIsSmall() {
        let x = normal([2, 50, 8], seed: 1)
        let last = shortConvolution(x, weight: normal([8, 4], seed: 2)).last
        #expect(last.values == x.sliced(1, from: 47).values && last.heldBytes == 4 * last.count)
    }

    @Test("Shapes that do not fit stop with a message", arguments: mistakes.indices)
    func mistakesStop(_ index: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [index] in
            _ = mistakes[index].make()
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains(mistakes[index].message), "\(mistakes[index].message) — \(said)")
    }
}

private var mistakes: [(message: String, make: () -> Any)] {
    let x = Tensor.zeros([2, 5, 3])
    return [
        (
            "shortConvolution: x [2, 5, 3], weight [4, 4], bias [], parts [3]; expected x [b, n, c], weight [c, k]",
            { shortConvolution(x, weight: .zeros([4, 4])) }
        ),
        ("x [2, 5, 3], weight [3, 0], bias [], parts [3]; expected", { shortConvolution(x, weight: .zeros([3, 0])) }),
        (
            "x [2, 5, 3], weight [3, 4], bias [4], parts [3]; expected",
            { shortConvolution(x, weight: .zeros([3, 4]), bias: .zeros([4])) }
        ),
        (
            "weight [3, 4], bias [], parts [1, 1]; expected",
            { shortConvolution(x, parts: [1, 1], weight: .zeros([3, 4])) }
        ),
        (
            "shortConvolution: after [2, 4, 3], expected [b, k − 1, c] = [2, 3, 3]",
            { shortConvolution(x, weight: .zeros([3, 4]), after: .zeros([2, 4, 3])) }
        ),
    ]
}
