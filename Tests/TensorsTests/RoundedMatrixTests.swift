import Tensors
import Testing

/// Operations with rounded weights against the same with the floats that the weights stand for.
@Suite struct RoundedMatrixTests {
    static let formats = RoundedMatrix.Format.allCases
    /// One row, a tile of rows, the most that read the weights as they are, and the fewest for which they are expanded.
    static let rows = [1, 3, 8, 13, 16, 17, 75]

    private func pair(_ shape: [Int], _ format: RoundedMatrix.Format, seed: UInt64) -> (WeightMatrix, Tensor) {
        let matrix = RoundedMatrix(sample(shape, seed: seed), format)
        return (.rounded(matrix), matrix.expanded())
    }

    /// Sums in another order: of k terms each below 3, with k roundings of at most 2⁻²⁴ of their size, on both sides.
    private func check(
        _ found: Tensor, _ expected: Tensor, terms k: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        expectClose(
            found, expected.values.map(Double.init), shape: expected.shape,
            tolerance: 2 * Double(k) * Double(k).squareRoot() * 0x1p-24 * 3, sourceLocation: sourceLocation)
    }

    @Test("A rounded matrix is within half a unit of the matrix", arguments: formats)
    func expandedIsNearTheMatrix(_ format: RoundedMatrix.Format) {
        for shape in [[1, 1], [3, 5], [5, 64], [2, 130], [0, 4], [4, 0]] {
            let x = sample(shape, low: -1, high: 1)
            let y = RoundedMatrix(x, format).expanded()
            // Half a unit of the last of 8 bits; half a step of a scale of at most 1/127.
            let error = format == .bfloat16 ? 0x1p-9 : 0.5 / 127
            #expect(y.shape == shape)
            #expect(zip(x.values, y.values).allSatisfy { abs(Double($0) - Double($1)) <= error * 1.000001 })
            // What is rounded already does not change.
            #expect(RoundedMatrix(y, .bfloat16).expanded().values == y.values || format == .int8)
        }
    }

    @Test("A view is rounded by its elements")
    func aViewIsRoundedByItsElements() {
        let x = sample([70, 3])
        #expect(
            RoundedMatrix(x.transposed(), .int8).expanded().values
                == RoundedMatrix(x.transposed().contiguous(), .int8).expanded().values)
    }

    @Test("A linear layer with rounded weights equals that with their floats", arguments: formats, rows)
    func linearProducts(_ format: RoundedMatrix.Format, _ rows: Int) {
        for (inputs, outputs) in [(1, 3), (65, 33), (130, 300)] {
            let (weight, floats) = pair([outputs, inputs], format, seed: 2)
            let (x, bias) = (sample([rows, inputs], seed: 3), sample([outputs], seed: 4))
            let residual = sample([rows, outputs], seed: 5)
            withoutGradients {
                check(linear(x, weight: weight), linear(x, weight: floats), terms: inputs)
                check(
                    linear(x, weight: weight, bias: bias, activation: .silu),
                    linear(x, weight: floats, bias: bias, activation: .silu), terms: inputs + 1)
                check(
                    linear(x, weight: weight, bias: bias, residual: residual),
                    linear(x, weight: floats, bias: bias, residual: residual), terms: inputs + 2)
            }
        }
    }

    @Test("A norm with rounded projections equals that with their floats", arguments: formats, rows)
    func normedProjections(_ format: RoundedMatrix.Format, _ rows: Int) {
        let d = 70
        let x = sample([rows, d], seed: 1)
        let norm = Norm.layer(weight: sample([d], seed: 6), bias: sample([d], seed: 7))
        let pairs = [(33, UInt64(2)), (1, 3), (270, 4)].map { pair([$0, d], format, seed: $1) }
        let biases = [sample([33], seed: 8), nil, sample([270], seed: 9)]
        withoutGradients {
            let found = normLinear(x, norm: norm, zip(pairs, biases).map { Projection(weight: $0.0, bias: $1) })
            let expected = normLinear(x, norm: norm, zip(pairs, biases).map { Projection(weight: $0.1, bias: $1) })
            for (a, b) in zip(found, expected) { check(a, b, terms: d + 1) }
        }
    }

    @Test("A feed-forward block with rounded weights equals that with their floats", arguments: formats, rows)
    func feedForwardBlocks(_ format: RoundedMatrix.Format, _ rows: Int) {
        let (d, inner) = (66, 100)
        let x = sample([rows, d], seed: 1)
        let norm = Norm.rootMeanSquare(weight: sample([d], seed: 6))
        for isGated in [false, true] {
            let width = isGated ? 2 * inner : inner
            // Weights of a size that keeps the hidden features near 1.
            let up = RoundedMatrix(sample([width, d], seed: 2) * 0.125, format)
            let down = RoundedMatrix(sample([d, inner], seed: 3) * 0.125, format)
            let bias = sample([width], seed: 4)
            func run(_ up: WeightMatrix, _ down: WeightMatrix) -> Tensor {
                withoutGradients {
                    feedForward(
                        x, norm: norm, up: Projection(weight: up, bias: bias), activation: .gelu, isGated: isGated,
                        down: Projection(weight: down), residual: x)
                }
            }
            check(
                run(.rounded(up), .rounded(down)), run(.float(up.expanded()), .float(down.expanded())),
                terms: d + inner)
        }
    }

    @Test("An embedding reads rows of a rounded table", arguments: formats)
    func rowsByNumber(_ format: RoundedMatrix.Format) {
        let (table, floats) = pair([7, 67], format, seed: 2)
        let tokens = TokenTensor([0, 6, 6, 3], shape: [2, 2])
        withoutGradients {
            let found = embedding(table, tokens)
            #expect(found.shape == [2, 2, 67])
            #expect(found.values == embedding(floats, tokens).values)
        }
    }

    /// Threads share the outputs, not the sums.
    @Test("The number of threads does not change the bits", arguments: formats)
    func threadsDoNotChangeTheBits(_ format: RoundedMatrix.Format) async {
        await #expect(processExitsWith: .success) { [format] in
            let weight = WeightMatrix.rounded(RoundedMatrix(sample([700, 200], seed: 2), format))
            for rows in [1, 8, 40] {
                let x = sample([rows, 200], seed: 3)
                let results = [1, 2, 3].map { threads in
                    Threads.count = threads
                    return withoutGradients { linear(x, weight: weight).values }
                }
                require(rows > 16 || results.allSatisfy { $0 == results[0] }, "\(rows) rows")
            }
        }
    }

    // MARK: Parameters

    @Test("A rounded parameter frees its floats")
    func aParameterKeepsRoundedWeightsAlone() async {
        await #expect(processExitsWith: .success) {
            for (format, share) in [(RoundedMatrix.Format.bfloat16, 0.5), (.int8, 0.25 + 1.0 / 64)] {
                let start = MemoryPool.shared.statistics.current
                func held() -> Double { Double(MemoryPool.shared.statistics.current - start) }
                let parameter = Parameter(sample([1024, 1024]), isMatrix: true)
                let packed = PackedParameters([sample([512, 1024]), sample([512, 1024])], isMatrix: true)
                let before = held()
                require(parameter.canBeRounded && packed.parts[0].canBeRounded, "matrices")
                parameter.round(to: format)
                for part in packed.parts { part.round(to: format) }
                require(abs(held() / before - share) < 1e-3, "\(format): \(held() / before) of \(before)")
                require(parameter.roundedFormat == format && packed.parts[1].roundedFormat == format, "formats")
                require(parameter.shape == [1024, 1024] && parameter.count == 1 << 20, "shape")
            }
        }
    }

    @Test("Packed parts are rounded as rows of one matrix", arguments: formats)
    func packedPartsAreRowsOfOneMatrix(_ format: RoundedMatrix.Format) {
        let values = [sample([3, 70], seed: 1), sample([5, 70], seed: 2), sample([1, 70], seed: 3)]
        let packed = PackedParameters(values, isMatrix: true)
        packed.parts[1].round(to: format)  // the others follow
        for part in packed.parts { part.round(to: format) }
        for (part, value) in zip(packed.parts, values) {
            #expect(part.floats().values == RoundedMatrix(value, format).expanded().values)
        }
        guard case .rounded(let whole) = packed.matrix else {
            Issue.record("the whole is not rounded")
            return
        }
        #expect(whole.shape == [9, 70])
        #expect(whole.expanded().values == packed.parts.flatMap { $0.floats().values })
    }

    @Test("Only matrices of layers are rounded, and weights out of range are named")
    func onlyMatricesOfLayersAreRounded() {
        for (parameter, isRounded) in [
            (Parameter(sample([4, 4])), false), (Parameter(sample([4]), isMatrix: true), false),
            (Parameter(sample([4, 1]), isMatrix: true), false), (Parameter(sample([1, 4]), isMatrix: true), true),
        ] {
            parameter.round(to: .int8)
            #expect(parameter.roundedFormat == (isRounded ? .int8 : nil))
            #expect(parameter.canBeRounded == isRounded)
        }
        let parameter = Parameter(Tensor([1, 0x1.ffp127], shape: [1, 2]), isMatrix: true)
        #expect(parameter.weight(outside: .bfloat16) == 0x1.ffp127)
        #expect(parameter.weight(outside: .int8) == nil)
        let bad = Parameter(Tensor([1, -.infinity], shape: [1, 2]), isMatrix: true)
        #expect(bad.weight(outside: .int8) == -.infinity && bad.weight(outside: .bfloat16) == -.infinity)
    }
}
