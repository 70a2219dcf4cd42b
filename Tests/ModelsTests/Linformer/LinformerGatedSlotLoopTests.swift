import AttentionZooTestSupport
import Linformers
import NN
import Tensors
import Testing

/// Gated slots of long sequences against the loop in float64, and cut into parts.
@Suite struct LinformerGatedSlotLoopTests {
    /// The inputs of a sequence with one head, and the loop over them.
    private func long(_ n: Int, _ forgetting: Forgetting) -> (inputs: [Tensor], loop: GatedSlotLoop) {
        let test = GatedSlotCase(n: n, h: 1, d: 4, dv: 3, m: 5, forgetting: forgetting, hasState: true)
        let inputs = test.inputs()
        let x = inputs.map { $0.values.map(Double.init) }
        let loop = GatedSlotLoop(
            n: n, d: 4, dv: 3, m: 5, scale: Double(GatedSlotCase.scale), q: x[0], k: x[1], v: x[2], logForget: x[3],
            keys: x[4], values: x[5])
        return (inputs, loop)
    }

    private func seeds(_ n: Int) -> [Tensor] {
        [[1, n, 1, 3], [1, 1, 5, 4], [1, 1, 5, 3]].enumerated().map { .normal($1, key: RandomKey(seed: 8).child($0)) }
    }

    @Test("Thousands of tokens are the loop in float64, whatever they leave", arguments: Forgetting.allCases)
    func equalsTheLoop(_ forgetting: Forgetting) throws {
        let n = 2000
        let (inputs, loop) = long(n, forgetting)
        let (expected, seeds) = (loop.forward(), seeds(n))
        let weights = seeds.map { $0.values.map(Double.init) }
        let (slopes, terms) = (loop.backward(weights), loop.magnitudes(weights))
        let leaves = inputs.map { $0.requiringGradient() }
        let (output, state) = GatedSlotCase(n: n, hasState: true).attend(leaves)
        let results = [output, state.keys, state.values]
        for (index, name) in ["output", "keys", "values"].enumerated() {
            expectSmall(results[index], expected[index], name)
        }
        let all = gradients(of: zip(results, seeds).map { ($0 * $1).sum() }.reduce(.zeros([])) { $0 + $1 })
        for (index, name) in GatedSlotCase.names.enumerated() {
            expectSmall(try #require(all[leaves[index]]), slopes[index], terms: terms[index], "gradient of \(name)")
        }
    }

    /// Expects the root mean square of the differences to be some roundings of that of the values.
    /// - Parameter terms: what the values' terms add up to without their signs, where they may cancel.
    private func expectSmall(
        _ got: Tensor, _ expected: [Double], terms: [Double]? = nil, _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        func norm(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        let difference = norm(zip(got.values, expected).map { Double($0) - $1 })
        // A chunk's weights are products of up to 32 numbers, and what is left adds up over some chunks.
        let bound = Rounding.bound(terms == nil ? 64 : 16, of: norm(terms ?? expected))
        #expect(
            difference <= bound, "\(what): off by \(difference / bound) times the bound", sourceLocation: sourceLocation
        )
    }

    @Test("The loop's own gradients are its differences")
    func theLoopHasItsGradients() {
        let (inputs, loop) = long(7, .usual)
        let seeds = seeds(7).map { $0.values.map(Double.init) }
        let analytic = loop.backward(seeds)
        let x = inputs.map { $0.values.map(Double.init) }
        func loss(_ x: [[Double]]) -> Double {
            let results = GatedSlotLoop(
                n: 7, d: 4, dv: 3, m: 5, scale: loop.scale, q: x[0], k: x[1], v: x[2], logForget: x[3], keys: x[4],
                values: x[5]
            ).forward()
            return zip(results.flatMap { $0 }, seeds.flatMap { $0 }).reduce(0) { $0 + $1.0 * $1.1 }
        }
        expectCentralDifferences(analytic, of: loss, at: x)
    }

    @Test("A sequence in two parts is the sequence, gradients too", arguments: Forgetting.allCases)
    func splitsAnywhere(_ forgetting: Forgetting) throws {
        let n = 70
        let (inputs, _) = long(n, forgetting)
        let seeds = seeds(n)
        let test = GatedSlotCase(n: n, hasState: true)
        func run(_ cuts: [Int]) throws -> (values: [Tensor], gradients: [Tensor]) {
            let leaves = inputs.map { $0.requiringGradient() }
            var (state, outputs) = (GatedSlots(keys: leaves[4], values: leaves[5]), [Tensor]())
            for (start, end) in zip([0] + cuts, cuts + [n]) {
                let part = leaves[..<4].map { $0.sliced(1, from: start, to: end) }
                let result = test.attend(part + [state.keys, state.values])
                state = result.state
                outputs.append(result.output)
            }
            let results = [concatenate(outputs, axis: 1), state.keys, state.values]
            let all = gradients(of: zip(results, seeds).map { ($0 * $1).sum() }.reduce(.zeros([])) { $0 + $1 })
            return (results.map { $0.detached() }, try leaves.map { try #require(all[$0]) })
        }
        let whole = try run([])
        let lengths = SumLengths(path: n + 9, rows: n, widest: n)
        for cut in [0, 1, 2, 31, 32, 33, 50, 64, 69, 70] {
            let parts = try run([cut])
            for (index, name) in ["output", "keys", "values"].enumerated() {
                expectClose(parts.values[index], whole.values[index], roundings: lengths.path, "\(name), cut at \(cut)")
            }
            expectGradients(
                zip(GatedSlotCase.names, zip(parts.gradients, whole.gradients)).map {
                    ("\($0), cut at \(cut)", $1.0, $1.1)
                }, lengths)
        }
    }
}
