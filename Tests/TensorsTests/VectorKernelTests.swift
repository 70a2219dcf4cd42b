import Tensors
import Testing

/// The kernels for operations of a client's own, against the operations of the package.
@Suite struct VectorKernelTests {
    private let rows = 3, width = 21
    private var count: Int { rows * width }
    private let x = sample([3, 21]), z = sample([3, 21], seed: 2), dy = sample([3, 21], seed: 3)
    private let weight = sample([21], seed: 4), bias = sample([21], seed: 5)

    /// The values that `body` writes into memory which holds `start` at first.
    private func written(_ start: Tensor, _ body: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
        let memory = Tensor(start.values, shape: start.shape)
        body(memory.mutablePointer)
        return memory.values
    }

    static let pairs: [(VectorFunction, @Sendable (Tensor) -> Tensor)] = [
        (.exp, { exp($0) }), (.log, { log($0) }), (.sqrt, { sqrt($0) }), (.rsqrt, { rsqrt($0) }), (.tanh, { tanh($0) }),
        (.sigmoid, { sigmoid($0) }), (.silu, { silu($0) }), (.softplus, { softplus($0) }), (.gelu, { gelu($0) }),
        (.relu, { relu($0) }), (.reluSquared, { reluSquared($0) }), (.laplace, { laplace($0) }), (.sin, { sin($0) }),
        (.cos, { cos($0) }), (.abs, { abs($0) }),
    ]

    @Test("Functions and their gradients are those of tensors", arguments: pairs.indices)
    func functions(_ index: Int) {
        let (function, operation) = Self.pairs[index]
        let leaf = (abs(x) + 0.5).detached().requiringGradient()
        let y = operation(leaf)
        #expect(written(leaf) { VectorKernels.apply(function, to: $0, into: $0, count: count) } == y.values)
        let dx = written(dy) {
            VectorKernels.gradient(of: function, x: leaf.pointer, y: y.pointer, dy: $0, into: $0, count: count)
        }
        #expect(dx == gradients(of: y, seed: dy)[leaf]?.values)
        #expect(Self.pairs.map(\.0) == VectorFunction.allCases)
    }

    @Test("Loops over elements") func elements() {
        #expect(
            written(x) { VectorKernels.fill($0, with: 2, count: count - 1) } == [Float](repeating: 2, count: count - 1)
                + [x.values.last!])
        #expect(written(x) { VectorKernels.add(2, to: $0, into: $0, count: count) } == (x + 2).values)
        #expect(written(x) { VectorKernels.scale($0, by: 3, into: $0, count: count) } == (x * 3).values)
        #expect(written(x) { VectorKernels.sum(of: $0, and: z.pointer, into: $0, count: count) } == (x + z).values)
        #expect(written(x) { VectorKernels.product(of: z.pointer, and: $0, into: $0, count: count) } == (x * z).values)
        // Sums of two products of order 1: one rounding or two.
        let sum = written(x) { VectorKernels.addScaled(z.pointer, by: 3, to: $0, beta: 0.5, count: count) }
        expectClose(Tensor(sum), zip(z.values, x.values).map { 3 * Double($0) + 0.5 * Double($1) }, tolerance: 2e-7)
        let garbage = Tensor(repeating: .nan, shape: [3, 21])
        #expect(
            written(garbage) { VectorKernels.addScaled(z.pointer, by: 1, to: $0, beta: 0, count: count) } == z.values)
    }

    @Test("Sums") func sums() {
        let exact = x.values.reduce(0.0) { $0 + Double($1) }
        #expect(Swift.abs(Double(VectorKernels.sum(x.pointer, count: count)) - exact) < 1e-5)
        let squares = x.values.reduce(0.0) { $0 + Double($1) * Double($1) }
        #expect(Swift.abs(VectorKernels.sumOfSquares(x.pointer, count: count) - squares) < 1e-12)
        let products = zip(x.values, z.values).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        #expect(Swift.abs(Double(VectorKernels.sumOfProducts(x.pointer, z.pointer, count: count)) - products) < 1e-5)
        #expect(VectorKernels.maximum(x.pointer, count: count) == x.values.max())
        let each = written(.zeros([3])) {
            VectorKernels.rowProducts(x.pointer, z.pointer, into: $0, rows: rows, width: width)
        }
        expectClose(Tensor(each), (x * z).sum(axes: [1]).values.map(Double.init), tolerance: 1e-6)
        let total = written(bias) { VectorKernels.addRows(of: x.pointer, to: $0, rows: rows, width: width) }
        expectClose(Tensor(total), (x.sum(axes: [0]) + bias).values.map(Double.init), tolerance: 1e-6)
    }

    @Test("Factors and biases of rows and columns") func factors() {
        let three = Tensor([2, 1, -1])
        #expect(
            written(x) { VectorKernels.scaleRows($0, by: three.pointer, rows: rows, width: width) }
                == (x * three.unsqueezed(-1)).values)
        #expect(
            written(x) { VectorKernels.scaleColumns($0, by: weight.pointer, into: $0, rows: rows, width: width) }
                == (x * weight).values)
        #expect(
            written(x) { VectorKernels.addBias(bias.pointer, to: $0, rows: rows, width: width) } == (x + bias).values)
    }

    @Test("Gates") func gates() {
        let (a, g) = (x.requiringGradient(), z.requiringGradient())
        let y = a * silu(g)
        let own = written(.zeros([3, 21])) {
            VectorKernels.gate(x.pointer, by: z.pointer, .silu, into: $0, rows: rows, width: width)
        }
        expectClose(Tensor(own), y.values.map(Double.init), tolerance: 1e-6)
        let (da, dg, scratch) = (Tensor(x.values), Tensor(z.values), Tensor.zeros([2, 21]))
        VectorKernels.gateGradient(
            da.pointer, by: dg.pointer, .silu, dy: dy.pointer, into: da.mutablePointer, dg.mutablePointer, rows: rows,
            width: width, scratch: scratch.mutablePointer)
        let all = gradients(of: y, seed: dy)
        expectClose(da, all[a]!.values.map(Double.init), tolerance: 1e-6)
        expectClose(dg, all[g]!.values.map(Double.init), tolerance: 1e-6)
    }

    @Test("Root mean square norm") func rootMeanSquare() {
        let (leaf, w) = (x.requiringGradient(), weight.requiringGradient())
        let y = rmsNorm(leaf, weight: w, epsilon: 1e-3)
        let (factors, dw) = (Tensor.zeros([3]), Tensor.ones([21]))
        let own = written(x) {
            VectorKernels.rootMeanSquareNorm(
                $0, weight: weight.pointer, epsilon: 1e-3, into: $0, factors: factors.mutablePointer, rows: rows,
                width: width)
        }
        #expect(own == y.values)
        let dx = written(dy) {
            VectorKernels.rootMeanSquareNormGradient(
                x.pointer, weight: weight.pointer, factors: factors.pointer, dy: $0, into: $0,
                addingTo: dw.mutablePointer, rows: rows, width: width)
        }
        let all = gradients(of: y, seed: dy)
        #expect(dx == all[leaf]?.values)
        expectClose(dw, all[w]!.values.map { Double($0) + 1 }, tolerance: 1e-6)
    }

    @Test("Layer norm") func layer() {
        let (leaf, w, b) = (x.requiringGradient(), weight.requiringGradient(), bias.requiringGradient())
        let y = layerNorm(leaf, weight: w, bias: b, epsilon: 1e-3)
        let (means, factors, dw, db) = (Tensor.zeros([3]), Tensor.zeros([3]), Tensor.zeros([21]), Tensor.zeros([21]))
        let own = written(x) {
            VectorKernels.layerNorm(
                $0, weight: weight.pointer, bias: bias.pointer, epsilon: 1e-3, into: $0, means: means.mutablePointer,
                factors: factors.mutablePointer, rows: rows, width: width)
        }
        #expect(own == y.values)
        let dx = written(dy) {
            VectorKernels.layerNormGradient(
                x.pointer, weight: weight.pointer, means: means.pointer, factors: factors.pointer, dy: $0, into: $0,
                addingTo: dw.mutablePointer, db.mutablePointer, rows: rows, width: width)
        }
        let all = gradients(of: y, seed: dy)
        #expect(dx == all[leaf]?.values)
        #expect(dw.values == all[w]?.values)
        #expect(db.values == all[b]?.values)
    }

    @Test("Softmax") func softmaxes() {
        let leaf = x.requiringGradient()
        let y = softmax(leaf)
        #expect(written(x) { VectorKernels.softmax($0, into: $0, rows: rows, width: width) } == y.values)
        let dx = written(dy) {
            VectorKernels.softmaxGradient(y: y.pointer, dy: $0, into: $0, rows: rows, width: width)
        }
        #expect(dx == gradients(of: y, seed: dy)[leaf]?.values)
    }

    @Test("Blocks cover the rows once, and their sums have the same bits for any number of threads")
    func blocks() async {
        let blocks = RowBlocks(rows: 1000, width: 100)
        #expect(blocks.count > 3 && blocks.height * (blocks.count - 1) < 1000)
        #expect(RowBlocks(rows: 0, width: 5).count == 0)
        await #expect(processExitsWith: .success) {
            let x = Tensor.normal([1000, 100], key: RandomKey(seed: 1))
            func sum() -> [Float] {
                let (blocks, leaf) = (RowBlocks(rows: 1000, width: 100), Tensor.zeros([100]).requiringGradient())
                let output = Tensor.record("sum", Tensor(0), inputs: [leaf]) { _, slots in
                    let sums = blocks.sums(width: 100)
                    blocks.parallel { rows, block in
                        VectorKernels.addRows(
                            of: x.pointer + rows.lowerBound * 100, to: sums.pointer(block), rows: rows.count, width: 100
                        )
                    }
                    sums.add(to: slots[0])
                }
                return gradients(of: output)[leaf]!.values
            }
            Threads.count = 1
            let one = sum()
            Threads.count = 3
            require(sum() == one, "other bits")
            let exact = x.sum(axes: [0])
            require(Tensor(one).isClose(to: exact, absolute: 1e-4), "other sums")
        }
    }
}
