import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@testable import FastWeightTransformers

/// The share of the memory that a token leaves.
enum Decay: String, CaseIterable {
    /// Nearly all; most; next to nothing (α = 1e-4); any of these from token to token; and nothing at all here and there.
    case slow, usual, fast, mixed, clearing

    /// ln α of a tensor [b, n, h].
    func draw(_ shape: [Int], key: RandomKey) -> Tensor {
        let noise = Tensor.uniform(shape, key: key.child(0))
        let choice = Tensor.uniform(shape, key: key.child(1)).values
        func mix(_ kinds: [Float]) -> Tensor { Tensor(choice.map { kinds[Int($0 * 2.999)] }, shape: shape) }
        switch self {
        case .slow: return noise * -0.01
        case .usual: return -exp(noise * 4 - 3)
        case .fast: return Tensor(repeating: Float(log(1e-4)), shape: shape)
        case .mixed: return mix([-0.001, -0.4, -9.3]) * (noise + 0.5)
        case .clearing: return mix([-0.1, -0.5, -.infinity])
        }
    }
}

/// Inputs of the memory with decay, drawn.
struct DecayCase: CustomTestStringConvertible, Sendable {
    let number: Int
    let b: Int, n: Int, h: Int, d: Int, dv: Int, chunk: Int, segment: Int
    let rule: UpdateRule
    let decay: Decay
    let features: Features
    let hasErase: Bool, hasState: Bool, readsState: Bool

    init(_ number: Int) {
        self.number = number
        var draw = FastWeightsDraw(RandomKey(seed: UInt64(number + 900)))
        (b, h) = (draw.one(of: [1, 2]), draw.one(of: [1, 2, 3]))
        n = draw.one(of: [1, 2, 7, 31, 32, 33, 70, 130])
        (d, dv) = (draw.one(of: [1, 3, 4, 17]), draw.one(of: [1, 4, 5, 18]))
        (chunk, segment) = draw.one(of: [(32, 4), (32, 1), (1, 3), (3, 2), (16, 3), (64, 4)])
        (rule, decay) = (draw.one(of: [.delta, .delta, .sum]), draw.one(of: Decay.allCases))
        let maps = [
            Features.identity, .identity, Features(.dpfp, nu: 1, epsilon: 0.1), Features(.elu, epsilon: 1e-6),
            Features(nil, activation: .silu, normalizesL2: true),
        ]
        features = draw.one(of: maps)
        hasErase = draw.one(of: [true, false]) && rule == .delta
        (hasState, readsState) = (draw.one(of: [true, false]), draw.one(of: [true, false]))
    }

    var testDescription: String {
        "\(number): \(b) × \(n) × \(h), d \(d), dv \(dv), \(rule), \(decay), chunks \(chunk) × \(segment)"
            + "\(hasErase ? " erase" : "")\(hasState ? " state" : "")\(readsState ? " reads state" : "")"
            + " \(features.map.map { "\($0)" } ?? "\(features.normalizesL2)")"
    }

    var names: [String] {
        ["q", "k", "v", "beta", "logDecay"] + (hasErase ? ["erase"] : []) + (hasState ? ["state"] : [])
    }

    func inputs() -> [Tensor] {
        let key = RandomKey(seed: UInt64(number))
        func random(_ shape: [Int], _ index: Int) -> Tensor { .normal(shape, key: key.child(index)) }
        // Keys no longer than 1, of which shares up to 2 only turn what is there.
        let keys = unitRows(random([b, n, h, d], 1))
        var inputs = [random([b, n, h, d], 0), keys, random([b, n, h, dv], 2), 2 * sigmoid(random([b, n, h], 3))]
        inputs.append(decay.draw([b, n, h], key: key.child(4)))
        if hasErase { inputs.append(sigmoid(random([b, n, h], 5))) }
        if hasState { inputs.append(random([b, h, features.width(d), dv], 6)) }
        return inputs
    }

    func run(_ x: [Tensor], _ implementation: Implementation) -> (output: Tensor, state: Tensor) {
        deltaRule(
            x[0], x[1], x[2], beta: x[3], erase: hasErase ? x[5] : nil, logDecay: x[4], rule: rule, features: features,
            state: hasState ? x[x.count - 1] : nil, chunk: chunk, segment: segment, implementation: implementation)
    }

    var lengths: SumLengths {
        let width = features.width(d)
        return SumLengths(path: n * (width + 3), rows: n, widest: max(width, dv, n))
    }
}

@Suite struct FastWeightsDecayTests {
    @Test("The fading memory in chunks equals the loop over tokens", arguments: (0..<150).map(DecayCase.init))
    func formsAgree(_ test: DecayCase) throws {
        let seeds = [[test.b, test.n, test.h, test.dv], [test.b, test.h, test.features.width(test.d), test.dv]]
            .enumerated().map { Tensor.normal($1, key: RandomKey(seed: 9).child($0)) }
        func run(_ implementation: Implementation) throws -> (values: [Tensor], gradients: [Tensor]) {
            let leaves = test.inputs().map { $0.requiringGradient() }
            let (output, state) = test.run(leaves, implementation)
            let loss = (output * seeds[0]).sum() + (test.readsState ? (state * seeds[1]).sum() : .zeros([]))
            let all = gradients(of: loss)
            return ([output.detached(), state.detached()], try leaves.map { try #require(all[$0]) })
        }
        let (got, expected) = (try run(.fused), try run(.plain))
        for (index, name) in ["output", "state"].enumerated() {
            expectClose(got.values[index], expected.values[index], roundings: test.lengths.path, name)
        }
        expectGradients(
            zip(test.names, zip(got.gradients, expected.gradients)).map { ($0, $1.0, $1.1) }, test.lengths)
    }

    // MARK: Against float64

    private func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }

    /// The inputs of a long sequence with one head, and the loop over them.
    private func long(
        _ n: Int, _ decay: Decay, _ rule: UpdateRule = .delta, hasErase: Bool = false
    ) -> (inputs: [Tensor], loop: MemoryLoop) {
        let (d, dv) = (4, 3)
        let keys = unitRows(random([1, n, 1, d], 2))
        let inputs = [
            random([1, n, 1, d], 1), keys, random([1, n, 1, dv], 3), 2 * sigmoid(random([1, n, 1], 4)),
            sigmoid(random([1, n, 1], 5)), decay.draw([1, n, 1], key: RandomKey(seed: 6)), random([1, 1, d, dv], 7),
        ]
        let x = inputs.map(\.doubles)
        let gamma = rule == .sum ? [Double](repeating: 0, count: n) : x[hasErase ? 4 : 3]
        let loop = MemoryLoop(
            n: n, d: d, dv: dv, q: x[0], k: x[1], v: x[2], beta: x[3], gamma: gamma, logDecay: x[5], state: x[6])
        return (inputs, loop)
    }

    private func run(
        _ x: [Tensor], _ rule: UpdateRule, hasErase: Bool, _ implementation: Implementation = .fused
    ) -> (output: Tensor, state: Tensor) {
        deltaRule(
            x[0], x[1], x[2], beta: x[3], erase: hasErase ? x[4] : nil, logDecay: x[5], rule: rule, state: x[6],
            implementation: implementation)
    }

    @Test(
        "Thousands of tokens are the loop in float64, whatever they leave", arguments: Decay.allCases,
        [(UpdateRule.delta, false), (.delta, true), (.sum, false)])
    func equalsTheLoop(_ decay: Decay, _ form: (rule: UpdateRule, hasErase: Bool)) throws {
        let n = 3000
        let (inputs, loop) = long(n, decay, form.rule, hasErase: form.hasErase)
        let expected = loop.forward()
        let seeds = [random([1, n, 1, 3], 8), random([1, 1, 4, 3], 9)]
        let gradients64 = loop.backward(seeds[0].doubles, seeds[1].doubles)
        let leaves = inputs.map { $0.requiringGradient() }
        let (output, state) = run(leaves, form.rule, hasErase: form.hasErase)
        expectSmall(output, expected.output, "output")
        expectSmall(state, expected.state, "state")
        let all = gradients(of: (output * seeds[0]).sum() + (state * seeds[1]).sum())
        var wanted = gradients64
        if form.rule == .delta && !form.hasErase { wanted[3] = zip(wanted[3], wanted[4]).map(+) }
        for (index, name) in ["q", "k", "v", "beta", "erase", "logDecay", "state"].enumerated() {
            if name == "erase" && !form.hasErase { continue }
            expectSmall(try #require(all[leaves[index]]), wanted[index], name)
        }
    }

    /// Expects the root mean square of the differences to be some roundings of that of the values: they are not large in
    /// the sum, and neither where all values are small.
    private func expectSmall(
        _ got: Tensor, _ expected: [Double], _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        func norm(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        let difference = norm(zip(got.doubles, expected).map { $0 - $1 })
        // A chunk's decays are products of up to 32 numbers, and what is left adds up over some chunks.
        let bound = Rounding.bound(64, of: norm(expected))
        #expect(
            difference <= bound, "\(what): off by \(difference / bound) times the bound", sourceLocation: sourceLocation
        )
    }

    @Test("The loop's own gradients are its differences")
    func theLoopHasItsGradients() {
        let (inputs, loop) = long(9, .usual, hasErase: true)
        let seeds = [random([1, 9, 1, 3], 8).doubles, random([1, 1, 4, 3], 9).doubles]
        let analytic = loop.backward(seeds[0], seeds[1])
        let x = inputs.map(\.doubles)
        func loss(_ x: [[Double]]) -> Double {
            let result = MemoryLoop(
                n: 9, d: 4, dv: 3, q: x[0], k: x[1], v: x[2], beta: x[3], gamma: x[4], logDecay: x[5], state: x[6]
            ).forward()
            return zip(result.output + result.state, seeds[0] + seeds[1]).reduce(0) { $0 + $1.0 * $1.1 }
        }
        expectCentralDifferences(analytic, of: loss, at: x)
    }

    // MARK: Cuts

    @Test("A fading sequence in two parts is the sequence, gradients too", arguments: Decay.allCases)
    func splitsAnywhere(_ decay: Decay) throws {
        let n = 70
        let (inputs, _) = long(n, decay)
        let seed = random([1, n, 1, 3], 8)
        func run(_ cuts: [Int]) throws -> (output: Tensor, gradients: [Tensor]) {
            let leaves = inputs.map { $0.requiringGradient() }
            var (state, outputs) = (leaves[6], [Tensor]())
            for (start, end) in zip([0] + cuts, cuts + [n]) {
                let part = leaves[..<6].map { $0.sliced(1, from: start, to: end) }
                let result = deltaRule(
                    part[0], part[1], part[2], beta: part[3], logDecay: part[5], state: state)
                state = result.state
                outputs.append(result.output)
            }
            let output = concatenate(outputs, axis: 1)
            let all = gradients(of: (output * seed).sum() + state.sum())
            return (output.detached(), try [0, 1, 2, 3, 5, 6].map { try #require(all[leaves[$0]]) })
        }
        let whole = try run([])
        let lengths = SumLengths(path: n * 7, rows: n, widest: n)
        for cut in 0...n {
            let parts = try run([cut])
            expectClose(parts.output, whole.output, roundings: lengths.path, "output, cut at \(cut)")
            expectGradients(
                zip(["q", "k", "v", "beta", "logDecay", "state"], zip(parts.gradients, whole.gradients)).map {
                    ("\($0), cut at \(cut)", $1.0, $1.1)
                }, lengths)
        }
    }

    @Test("One token in place is the sequence's next", arguments: Decay.allCases, [UpdateRule.delta, .sum])
    func stepsEqualTheSequence(_ decay: Decay, _ rule: UpdateRule) {
        let n = 40
        let (x, _) = long(n, decay, rule)
        let whole = deltaRule(x[0], x[1], x[2], beta: x[3], logDecay: x[5], rule: rule, state: x[6])
        var memories = [x[6]]
        for t in 0..<n {
            let part = x[..<6].map { $0.sliced(1, from: t, to: t + 1) }
            let step = FastWeightStep(
                part[0], part[1], part[2], beta: part[3], logDecay: part[5], rule: rule, features: .identity)
            let y = step.run(&memories)
            expectClose(y, whole.output.sliced(1, from: t, to: t + 1), roundings: n * 7, magnitude: 1, "token \(t)")
        }
        expectClose(memories[0], whole.state, roundings: n * 7, magnitude: 1, "state")
    }

    /// In a process of its own, as the number of threads is one for all tests.
    @Test("Threads that share the heads give the same bits")
    func threadsAgree() async {
        await #expect(processExitsWith: .success) {
            let shape = [4, 70, 6]
            func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .normal(shape, key: RandomKey(seed: seed)) }
            let inputs = [
                random(shape + [5], 1), unitRows(random(shape + [5], 2)), random(shape + [4], 3),
                sigmoid(random(shape, 4)), -sigmoid(random(shape, 5)),
            ]
            func run(threads: Int) -> [[Float]] {
                Threads.count = threads
                let leaves = inputs.map { $0.requiringGradient() }
                let result = deltaRule(leaves[0], leaves[1], leaves[2], beta: leaves[3], logDecay: leaves[4])
                let all = gradients(of: result.output.sum() + result.state.sum())
                return [result.output.values, result.state.values] + leaves.map { all[$0]!.values }
            }
            require(run(threads: 3) == run(threads: 1), "three threads differ from one")
        }
    }

    @Test("No tokens leave a fading memory as it is")
    func nothingIsNothing() {
        let state = random([2, 2, 3, 5], 1)
        let empty = [[2, 0, 2, 3], [2, 0, 2, 3], [2, 0, 2, 5], [2, 0, 2]].map { Tensor.zeros($0) }
        let leaf = empty[3].requiringGradient()
        let held = state.requiringGradient()
        let (output, after) = deltaRule(empty[0], empty[1], empty[2], beta: empty[3], logDecay: leaf, state: held)
        #expect(output.shape == [2, 0, 2, 5] && after.values == state.values)
        let all = gradients(of: after.sum())
        #expect(all[leaf]?.shape == [2, 0, 2] && all[held]?.values == [Float](repeating: 1, count: 60))
    }

    @Test("Decays of a view, the same for all tokens, are read in place")
    func expandedDecays() throws {
        let (x, _) = long(50, .usual)
        let one = Tensor([-0.3]).requiringGradient()
        let dense = Tensor(repeating: -0.3, shape: [1, 50, 1]).requiringGradient()
        func run(_ decay: Tensor) -> Tensor {
            deltaRule(x[0], x[1], x[2], beta: x[3], logDecay: decay, state: x[6]).output
        }
        let (view, copy) = (run(one.expanded(to: [1, 50, 1])), run(dense))
        #expect(view.values == copy.values)
        let sum = try #require(gradients(of: copy.sum())[dense]).sum()
        expectClose(
            try #require(gradients(of: view.sum())[one]).reshaped([]), sum, roundings: 50 * 8, "logDecay")
    }
}
