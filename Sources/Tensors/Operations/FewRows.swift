import CKernels

/// `linear`, `normLinear` and `feedForward` of few rows where no gradient is wanted, as decoding calls them: threads share
/// the columns of a product, and nothing but the result becomes a tensor. A generated token has dozens of them, so that
/// what each costs beside its product counts.
///
/// Each returns nil for operands that the general form is for, which also says what is wrong with them.
enum FewRows {
    /// The rows of x, [..., width], where they are few and nothing is recorded.
    private static func count(_ x: Tensor, width: Int) -> Int? {
        guard !Recording.isOn, width > 0, x.rank >= 1, x.shape[x.rank - 1] == width, x.isContiguous else { return nil }
        let rows = x.count / width
        return rows < 16 * Threads.count ? rows : nil
    }

    /// A tensor like x but for the length of its rows.
    private static func output(_ x: Tensor, width: Int) -> Tensor {
        var shape = x.shape
        shape[shape.count - 1] = width
        return Tensor(uninitialized: shape)
    }

    static func linear(
        _ x: Tensor, _ weight: WeightMatrix, bias: Tensor?, activation: Activation, residual: Tensor?
    ) -> Tensor? {
        let (width, inputs) = weight.lengths
        guard let rows = count(x, width: inputs), isDense(bias, width),
            residual == nil
                || residual!.isContiguous && residual!.count == rows * width
                    && residual!.shape.dropLast() == x.shape.dropLast()
        else { return nil }
        let y = output(x, width: width)
        let product = Product(
            rows: rows, inputs: inputs, Projection(weight: weight, bias: bias), into: y.mutablePointer)
        let (source, before) = (x.pointer, residual?.pointer)
        product.share { columns in
            product.run(columns, source, addedTo: before)
            product.apply(activation, columns)
        }
        return y
    }

    static func normLinear(_ x: Tensor, _ norm: Norm, _ projections: [Projection]) -> [Tensor]? {
        guard let d = x.shape.last, let rows = count(x, width: d), norm.isDense(d),
            projections.allSatisfy({ $0.matrix.lengths.columns == d && isDense($0.bias, $0.matrix.lengths.rows) })
        else { return nil }
        let outputs = projections.map { output(x, width: $0.matrix.lengths.rows) }
        let products = zip(projections, outputs).map { Product(rows: rows, inputs: d, $0, into: $1.mutablePointer) }
        norm.withRows(x.pointer, rows: rows, d: d) { run(products, $0) }
        return outputs
    }

    static func feedForward(
        _ x: Tensor, norm: Norm?, up: Projection, activation: Activation, isGated: Bool, down: Projection,
        residual: FeedForwardResidual
    ) -> Tensor? {
        let (width, d) = up.matrix.lengths
        let (out, inner) = down.matrix.lengths
        guard let rows = count(x, width: d), norm?.isDense(d) ?? true, isDense(up.bias, width),
            isDense(down.bias, out), inner > 0, width == (isGated ? 2 * inner : inner),
            !residual.isInput || out == d,
            residual.tensor.map({
                $0.isContiguous && $0.count == rows * out && $0.shape.dropLast() == x.shape.dropLast()
            }) ?? true
        else { return nil }
        let y = output(x, width: out)
        let source = x.pointer
        withScratch(rows * (inner + width)) { hidden in
            let z = hidden + rows * inner
            let first = Product(rows: rows, inputs: d, up, into: z)
            let second = Product(rows: rows, inputs: inner, down, into: y.mutablePointer)
            func run(_ input: UnsafePointer<Float>) {
                first.share(isGated: isGated) { columns in
                    first.run(columns, input)
                    if isGated { first.run(columns.lowerBound + inner..<columns.upperBound + inner, input) }
                    activate(columns, rows: rows, inner: inner, isGated: isGated, activation, z, into: hidden)
                }
                let before = residual.isInput ? input : residual.tensor?.pointer
                second.share { second.run($0, hidden, addedTo: before) }
            }
            if let norm { norm.withRows(source, rows: rows, d: d, run) } else { run(source) }
        }
        return y
    }

    private static func isDense(_ bias: Tensor?, _ width: Int) -> Bool {
        guard let bias else { return true }
        return bias.rank == 1 && bias.shape[0] == width && bias.isContiguous
    }

    /// Gives `body` aligned memory for some floats.
    fileprivate static func withScratch(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
        withUnsafeTemporaryAllocation(
            byteCount: max(count, 1) * MemoryLayout<Float>.stride, alignment: MemoryPool.alignment
        ) { memory in
            if let floats = memory.bindMemory(to: Float.self).baseAddress { body(floats) }
        }
    }

    /// Several products of the same rows: threads share the columns of all.
    static func run(_ products: [Product], _ input: UnsafePointer<Float>) {
        if products.count == 1 { return products[0].share { products[0].run($0, input) } }
        products.withUnsafeBufferPointer { products in
            nonisolated(unsafe) let products = products
            let total = products.reduce(0) { $0 + $1.width }
            let (rows, inputs) = (products.first?.rows ?? 0, products.first?.inputs ?? 0)
            parallelRanges(total, grain: BLAS.columnGrain(rows, total, inputs)) { columns in
                var start = 0
                for product in products {
                    let own = columns.clamped(to: start..<start + product.width)
                    if !own.isEmpty { product.run(own.lowerBound - start..<own.upperBound - start, input) }
                    start += product.width
                }
            }
        }
    }

    /// Some columns of f(z), or with a gate of the halves' a ⊙ f(g). z: [rows, inner or 2 · inner], hidden: [rows, inner].
    static func activate(
        _ columns: Range<Int>, rows: Int, inner: Int, isGated: Bool, _ activation: Activation,
        _ z: UnsafePointer<Float>, into hidden: UnsafeMutablePointer<Float>
    ) {
        let (first, count) = (columns.lowerBound, columns.count)
        if isGated {
            az_gate_forward(
                rows, count, activation.kernels?.forward, z + first, z + inner + first, 2 * inner, hidden + first,
                inner)
        } else {
            for row in 0..<rows {
                let place = row * inner + first
                activation.apply(count, z + place, into: hidden + place)
            }
        }
    }

    /// x Wᵀ + b of few rows, on memory that the caller keeps alive. Plain values, so that threads which share it count no
    /// references.
    struct Product {
        let rows: Int, inputs: Int, width: Int
        private let weight: BLAS.Operand
        private let bias: UnsafePointer<Float>?
        private let target: UnsafeMutablePointer<Float>

        /// target: [rows, width]
        init(rows: Int, inputs: Int, _ projection: Projection, into target: UnsafeMutablePointer<Float>) {
            (self.rows, self.inputs, width) = (rows, inputs, projection.matrix.lengths.rows)
            weight = projection.matrix.transposed
            bias = projection.bias?.pointer
            self.target = target
        }

        /// Calls `body` with ranges of the columns, on several threads; with a gate those of its first half.
        func share(isGated: Bool = false, _ body: (Range<Int>) -> Void) {
            let columns = isGated ? width / 2 : width
            parallelRanges(columns, grain: BLAS.columnGrain(rows, columns, isGated ? 2 * inputs : inputs), body)
        }

        /// Computes some of the columns. input: [rows, inputs]; addedTo: [rows, width].
        func run(_ columns: Range<Int>, _ input: UnsafePointer<Float>, addedTo before: UnsafePointer<Float>? = nil) {
            let (first, count) = (columns.lowerBound, columns.count)
            if let before { az_copy_2d(rows, count, before + first, width, 1, target + first, width, 1) }
            BLAS.multiply(
                rows, count, inputs, BLAS.Operand(input, stride: inputs), weight.advanced(columns: first),
                beta: before == nil ? 0 : 1, target + first, stride: width)
            if let bias { az_add_bias(rows, count, bias + first, target + first, width) }
        }

        func apply(_ activation: Activation, _ columns: Range<Int>) {
            guard let kernel = activation.kernels?.forward else { return }
            for row in 0..<rows {
                let place = target + row * width + columns.lowerBound
                kernel(columns.count, place, place)
            }
        }
    }
}

extension WeightMatrix {
    /// The two lengths of `shape`; 0 where it does not have two.
    fileprivate var lengths: (rows: Int, columns: Int) {
        switch self {
        case .float(let tensor): tensor.rank == 2 && tensor.isContiguous ? (tensor.shape[0], tensor.shape[1]) : (0, 0)
        case .rounded(let matrix): (matrix.shape[0], matrix.shape[1])
        }
    }
}

extension Norm {
    /// Returns true if kernels can read the parameters for rows of length d as they are.
    fileprivate func isDense(_ d: Int) -> Bool {
        func fits(_ parameter: Tensor, _ length: Int) -> Bool {
            parameter.rank == 1 && parameter.shape[0] == length && parameter.isContiguous
        }
        switch self {
        case .layer(let weight, let bias, _): return fits(weight, d) && fits(bias, d)
        case .scale(let gain, _): return fits(gain, 1)
        case .rootMeanSquare(let weight, _): return fits(weight, d)
        }
    }

    /// Gives `body` the normalized rows of x, [rows, d].
    fileprivate func withRows(
        _ x: UnsafePointer<Float>, rows: Int, d: Int, _ body: (UnsafePointer<Float>) -> Void
    ) {
        FewRows.withScratch(rows * (d + 2)) { target in
            apply(x, rows: rows, d: d, into: target, mean: target + rows * d, factor: target + rows * (d + 1))
            body(target)
        }
    }
}
