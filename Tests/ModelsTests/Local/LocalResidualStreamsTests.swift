import AttentionZooTestSupport
import NN
import Tensors
import Testing

@testable import LocalTransformers

/// The fused residual streams and their plain form, and what they are by themselves.
@Suite struct LocalResidualStreamsTests {
    private func compare(_ chain: Chain, _ x: Tensor, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let (a, b) = (x.requiringGradient(), x.requiringGradient())
        let (fused, plain) = (chain(a), chain(b, .plain))
        let lengths = chain.lengths(rows: x.count / x.shape.last!)
        expectClose(fused, plain, roundings: lengths.path, "output", sourceLocation: sourceLocation)
        let seed = Tensor.normal(x.shape, key: RandomKey(seed: 9))
        let (ours, theirs) = (gradients(of: fused, seed: seed), gradients(of: plain, seed: seed))
        var pairs = [("x", try #require(ours[a]), try #require(theirs[b]))]
        for (i, (connection, matrix)) in zip(chain.connections, chain.matrices).enumerated() {
            for (key, parameter) in connection.state + [("branch", matrix)] {
                pairs.append(("\(i).\(key)", try #require(ours[parameter]), try #require(theirs[parameter])))
            }
        }
        expectGradients(pairs, lengths, sourceLocation: sourceLocation)
    }

    @Test("Short chains agree in both forms", arguments: [1, 2, 3, 4], [1, 2, 3, 4]) func formsAgree(
        _ length: Int, _ streams: Int
    ) throws {
        let x = Tensor.normal([2, 3, 7], key: RandomKey(seed: 3))
        try compare(Chain(length, streams: streams, dimension: 7), x)
    }

    /// Long enough to be written to memory twice, with 1 … 8 streams; features fill vectors, leave rests, or both.
    @Test("Long chains agree in both forms", arguments: [1, 2, 3, 5, 8], [1, 16, 37, 67]) func longChains(
        _ streams: Int, _ dimension: Int
    ) throws {
        let x = Tensor.normal([5, dimension], key: RandomKey(seed: 4))
        try compare(Chain(2 * streams + 4, streams: streams, dimension: dimension), x)
    }

    /// Panels are of 64 rows here (of 5 in the last case), and ranges of 16 panels.
    @Test("Many rows agree in both forms", arguments: [[64, 3], [65, 3], [1024, 3], [1031, 3], [83, 400]])
    func manyRows(_ shape: [Int]) throws {
        try compare(Chain(6, streams: 4, dimension: shape[1]), .normal(shape, key: RandomKey(seed: 5)))
    }

    @Test("Other axes agree in both forms", arguments: [[7], [1, 1, 1, 7]]) func otherAxes(_ shape: [Int]) throws {
        try compare(Chain(3, streams: 2, dimension: 7), .normal(shape, key: RandomKey(seed: 6)))
    }

    @Test("No rows give no output and zero gradients") func noRows() throws {
        let x = Tensor.zeros([0, 3]).requiringGradient()
        let chain = Chain(7, streams: 2, dimension: 3)
        let y = chain(x)
        #expect(y.shape == [0, 3])
        let all = gradients(of: y, seed: .zeros([0, 3]))
        for parameter in chain.connections.flatMap({ $0.state.map(\.parameter) }) {
            #expect(try #require(all[parameter]).values.allSatisfy { $0 == 0 })
        }
        #expect(all[x]?.shape == [0, 3])
    }

    /// A row of zeros has no direction: its norm's denominator is the constant 1e-12.
    @Test("Rows of zeros agree in both forms") func rowsOfZeros() throws {
        let x = Tensor.normal([4, 5], key: RandomKey(seed: 7)).values
        let zeroed = Tensor(x.enumerated().map { $0.offset / 5 == 2 ? 0 : $0.element }, shape: [4, 5])
        // The first connection alone meets zeros; its gradient is 1e12 times larger there, so directions are kept small.
        let chain = Chain(2, streams: 3, dimension: 5)
        for parameter in [chain.connections[0].dynamicAlpha, chain.connections[0].dynamicBeta] {
            parameter.assign(parameter.value.detached() * 1e-12)
        }
        try compare(chain, zeroed)
    }

    /// Two sub-layers may read the same streams: their gradients are added.
    @Test("Streams read twice add their gradients") func twoWaysOn() throws {
        let chain = Chain(3, streams: 3, dimension: 5)
        func both(_ streams: ResidualStreams) -> Tensor {
            let (input, rest) = streams.read(chain.connections[0])
            let next = rest.adding(linear(input, weight: chain.matrices[0].value))
            let (left, restLeft) = next.read(chain.connections[1])
            let (right, restRight) = next.read(chain.connections[2])
            let (a, b) = (linear(left, weight: chain.matrices[1].value), linear(right, weight: chain.matrices[2].value))
            return restLeft.adding(a).reduced() * restLeft.adding(b).reduced() + restRight.adding(b).reduced()
        }
        let x = Tensor.normal([6, 5], key: RandomKey(seed: 8))
        let (a, b) = (x.requiringGradient(), x.requiringGradient())
        let (ours, theirs) = (
            both(ResidualStreams(a, streams: 3)), both(ResidualStreams(b, streams: 3, implementation: .plain))
        )
        // Two chains, and products of what comes out of them.
        let lengths = SumLengths(path: 2 * chain.lengths(rows: 6).path, rows: 6 * 3, widest: 5)
        expectClose(ours, theirs, roundings: lengths.path, "output")
        let seed = Tensor.normal([6, 5], key: RandomKey(seed: 9))
        let (mine, other) = (gradients(of: ours, seed: seed), gradients(of: theirs, seed: seed))
        let leaves = [("x", mine[a], other[b])] + chain.parameters.map { ("\($0.shape)", mine[$0], other[$0]) }
        expectGradients(try leaves.map { ($0, try #require($1), try #require($2)) }, lengths)
    }

    /// Central differences of Σ y · seed with h = 1/32, Richardson's: truncation h⁴ f⁽⁵⁾/30 = 3e-8 f⁽⁵⁾. The forward pass
    /// rounds to 2⁻²⁴, which is some 4e-6 of the sum's size over such a step. Hence 5e-4 of the largest gradient (or 1).
    @Test("Gradients agree with central differences", arguments: [1, 3]) func gradientsByDifferences(_ length: Int)
        throws
    {
        let chain = Chain(length, streams: 2, dimension: 3)
        let seed = Tensor.uniform([2, 3], low: -1, high: 1, key: RandomKey(seed: 9))
        let x = Parameter(.normal([2, 3], key: RandomKey(seed: 10)))
        let all = gradients(of: chain(x.value), seed: seed)
        for (index, parameter) in ([x] + chain.parameters).enumerated() {
            let values = parameter.value.values
            let analytic = try #require(all[parameter]).values
            let scale = analytic.reduce(1) { max($0, abs($1)) }
            for element in values.indices {
                func loss(_ step: Float) -> Double {
                    var moved = values
                    moved[element] += step
                    parameter.assign(Tensor(moved, shape: parameter.shape))
                    defer { parameter.assign(Tensor(values, shape: parameter.shape)) }
                    let y = withoutGradients { chain(x.value) }
                    return zip(y.values, seed.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
                }
                func difference(_ h: Float) -> Double { (loss(h) - loss(-h)) / Double(2 * h) }
                let numeric = (4 * difference(1 / 32) - difference(1 / 16)) / 3
                #expect(
                    abs(numeric - Double(analytic[element])) <= 5e-4 * Double(scale),
                    "tensor \(index), element \(element): \(analytic[element]), by differences \(numeric)")
            }
        }
    }

    @Test("Gradients accumulate") func gradientsAccumulate() throws {
        let chain = Chain(4, streams: 3, dimension: 5)
        let x = Tensor.normal([6, 5], key: RandomKey(seed: 8)).requiringGradient()
        let seed = Tensor.normal([6, 5], key: RandomKey(seed: 9))
        let once = gradients(of: chain(x), seed: seed)
        let first = (chain.parameters.map(\.value) + [x]).map { once[$0]! * 2 }
        let twice = gradients(of: chain(x), seed: seed, addedTo: once)
        for (leaf, first) in zip(chain.parameters.map(\.value) + [x], first) {
            expectClose(
                try #require(twice[leaf]), first, roundings: chain.lengths(rows: 6).rows, "\(leaf.shape)")
        }
    }

    /// A row depends on nothing but itself: decoding one token at a time gives the same bits as all at once.
    @Test("Rows are independent to the bit") func rowsAreIndependent() {
        let chain = Chain(11, streams: 4, dimension: 21)
        let x = Tensor.normal([70, 21], key: RandomKey(seed: 8))
        withoutGradients {
            var (all, each) = (
                ResidualStreams(x, streams: 4), (0..<70).map { ResidualStreams(x.at(0, $0), streams: 4) }
            )
            for connection in chain.connections {
                let (input, rest) = all.read(connection)
                all = rest.adding(input * 0.5)
                for row in 0..<70 {
                    let (one, rest) = each[row].read(connection)
                    #expect(one.values == input.at(0, row).values)
                    each[row] = rest.adding(one * 0.5)
                }
            }
            let y = all.reduced()
            for row in 0..<70 { #expect(each[row].reduced().values == y.at(0, row).values) }
        }
    }

    @Test("One stream is the plain residual") func oneStreamIsThePlainResidual() {
        let x = Tensor.normal([2, 3], key: RandomKey(seed: 8))
        let streams = ResidualStreams(x, streams: 1)
        let (input, rest) = streams.read(nil)
        #expect(input.values == x.values)
        let sum = rest.adding(rest.residual! + input * 2)
        #expect(sum.reduced().values == (x + x * 2).values)
        // A connection of one stream is another thing.
        let connection = HyperConnection(streams: 1, dimension: 3, key: RandomKey(seed: 1))
        #expect(streams.read(connection).rest.residual == nil)
        #expect(ResidualStreams(x, streams: 2).residual == nil)
    }

    @Test("Streams without sub-layers are copies") func withoutSubLayersStreamsAreCopies() {
        let x = Tensor.normal([2, 3], key: RandomKey(seed: 8)).requiringGradient()
        let y = ResidualStreams(x, streams: 4).reduced()
        #expect(y.values == x.values.map { 4 * $0 })
        #expect(gradients(of: y, seed: .ones([2, 3]))[x]?.values == [4, 4, 4, 4, 4, 4])
    }

    @Test("Misuse stops with a message") func mistakesStop() async {
        func expectStop(
            _ result: ExitTest.Result?, _ message: String, sourceLocation: SourceLocation = #_sourceLocation
        ) {
            let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
            #expect(said.contains(message), "\(said)", sourceLocation: sourceLocation)
        }
        let unlike = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let connection = HyperConnection(streams: 2, dimension: 4, key: RandomKey(seed: 1))
            _ = ResidualStreams(.zeros([5, 3]), streams: 2).read(connection)
        }
        expectStop(unlike, "a connection of 2 streams of 4 features for 2 of 3")
        let none = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = ResidualStreams(.zeros([5, 3]), streams: 2).read(nil)
        }
        expectStop(none, "several streams are read through a connection")
        let unanswered = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let connection = HyperConnection(streams: 2, dimension: 3, key: RandomKey(seed: 1))
            _ = ResidualStreams(.zeros([5, 3]), streams: 2).read(connection).rest.reduced()
        }
        expectStop(unanswered, "has read the streams and added nothing yet")
        let misshaped = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = ResidualStreams(.zeros([5, 3]), streams: 1).adding(.zeros([5, 4]))
        }
        expectStop(misshaped, "adding: [5, 4] to streams of shape [5, 3]")
    }
}
