import AttentionZooExperiments
import AttentionZooTestSupport
import FastWeightTransformers
import Tensors
import Testing

/// Reading without a memory against the memory itself.
@Suite struct DeltaReadTests {
    struct Case: Sendable {
        var b = 2, m = 1, n = 7, d = 5, values = 4

        /// Queries, keys with a sum of 1, shares, and values, as a trained memory has them.
        var inputs: [Tensor] {
            let key = RandomKey(seed: 3)
            func rows(_ count: Int, _ index: Int) -> Tensor {
                sumNormalized(Tensor.uniform([b, count, d], high: 4, key: key.child(index)))
            }
            return [rows(m, 0), rows(n, 1), Tensor.uniform([b, n], key: key.child(2))]
        }

        var valueRows: Tensor { Tensor.normal([b, n, values], key: RandomKey(seed: 4)) }
    }

    static let cases = [
        Case(), Case(b: 1, n: 1, d: 1), Case(b: 3, m: 4, n: 33, d: 17, values: 9), Case(b: 1, m: 200, n: 90, d: 64),
        Case(b: 32, n: 40, d: 256, values: 20),
    ]

    /// q S with S from the loop over tokens, over one head.
    private func fromMemory(_ inputs: [Tensor], _ values: Tensor) -> Tensor {
        let (q, k, beta) = (inputs[0], inputs[1], inputs[2])
        let (_, state) = deltaRule(  // [b, 1, d, dv]
            k.unsqueezed(2), k.unsqueezed(2), values.unsqueezed(2), beta: beta.unsqueezed(2), implementation: .plain)
        return matrixProduct(q, state.squeezed(1))
    }

    private func read(_ inputs: [Tensor], _ values: Tensor) -> Tensor {
        matrixProduct(deltaRead(inputs[0], inputs[1], beta: inputs[2]), values)
    }

    @Test("Reading equals that of the memory, outputs and gradients", arguments: cases)
    func equalsTheMemory(_ test: Case) throws {
        let leaves = test.inputs.map { $0.requiringGradient() }
        let (got, expected) = (read(leaves, test.valueRows), fromMemory(leaves, test.valueRows))
        // A query loses something to each of n writes; what it reads of one is a sum of d products, and all are added.
        let lengths = SumLengths(path: 2 * test.n + test.d, rows: test.b * test.m, widest: max(test.n, test.d))
        expectClose(got, expected, roundings: lengths.path, "output")
        let seed = Tensor.normal(got.shape, key: RandomKey(seed: 5))
        let (first, second) = (gradients(of: got, seed: seed), gradients(of: expected, seed: seed))
        expectGradients(
            try leaves.map { ("\($0.shape)", try #require(first[$0]), try #require(second[$0])) }, lengths)
    }

    /// From a gradient that is an expanded view.
    @Test("Each input's gradient is the same alone")
    func inputsAreIndependent() throws {
        let test = Case(b: 2, m: 3, n: 12, d: 6)
        let seed = Tensor.normal([12], key: RandomKey(seed: 6)).expanded(to: [2, 3, 12])
        let leaves = test.inputs.map { $0.requiringGradient() }
        let all = gradients(of: deltaRead(leaves[0], leaves[1], beta: leaves[2]), seed: seed)
        for index in leaves.indices {
            var inputs = test.inputs
            inputs[index] = inputs[index].requiringGradient()
            let one = gradients(of: deltaRead(inputs[0], inputs[1], beta: inputs[2]), seed: seed)
            let (got, expected) = (try #require(one[inputs[index]]), try #require(all[leaves[index]]))
            #expect(got.values == expected.values)
            #expect(expected.values.contains { $0 != 0 })
        }
    }

    @Test("Weights are summed by value")
    func weightsAddUpByValue() throws {
        let weights = Tensor.normal([2, 3, 5], key: RandomKey(seed: 7)).requiringGradient()
        let values = TokenTensor([0, 2, 2, 3, 0, 1, 1, 1, 1, 0], shape: [2, 5])
        let oneHot = Tensor.identity(4).taking(values)
        let (got, expected) = (summedByValue(weights, values, count: 4), matrixProduct(weights, oneHot))
        expectClose(got, expected, roundings: 5, "sums")
        let seed = Tensor.normal([2, 3, 4], key: RandomKey(seed: 8))
        let (first, second) = (gradients(of: got, seed: seed), gradients(of: expected, seed: seed))
        expectClose(try #require(first[weights]), try #require(second[weights]), roundings: 4, "gradient")
    }

    @Test("Shapes that do not fit stop with a message")
    func shapesThatDoNotFitStop() async {
        let read = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = deltaRead(.zeros([2, 1, 4]), .zeros([2, 3, 5]), beta: .zeros([2, 3]))
        }
        let message = String(decoding: read?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("deltaRead: q [2, 1, 4], k [2, 3, 5], beta [2, 3]; expected q [b, m, d]"))
        let sum = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = summedByValue(.zeros([1, 1, 2]), TokenTensor([0, 3], shape: [1, 2]), count: 3)
        }
        let other = String(decoding: sum?.standardErrorContent ?? [], as: UTF8.self)
        #expect(other.contains("expected weights [b, m, n] and values [b, n] below 3"))
    }
}
