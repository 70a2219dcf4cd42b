import CKernels

/// A · B over the last two axes, or A · Bᵀ, Aᵀ · B, Aᵀ · Bᵀ.
///
/// a: [batch…, m, k] (or [batch…, k, m] transposed), b: [batch…, k, n] (or [batch…, n, k]); batch axes broadcast.
/// Transposed views are read in place. Returns alpha · A · B: [batch…, m, n].
public func matrixProduct(
    _ a: Tensor, _ b: Tensor, transposeA: Bool = false, transposeB: Bool = false, alpha: Float = 1
) -> Tensor {
    let plan = ProductPlan(a, b, transposeA: transposeA, transposeB: transposeB)
    let y = Tensor(uninitialized: plan.shape)
    plan.run(a, b, alpha: alpha, beta: 0, into: y.mutablePointer)
    return .record("matrixProduct", y, inputs: [a, b]) { gradient, slots in
        // Y = A' B' with A' = Aᵀ or A: dA' = dY B'ᵀ, dB' = A'ᵀ dY, each transposed back where it was.
        let (x, w) = (a.detached(), b.detached())
        if slots[0].isNeeded {
            addProduct(
                transposeA ? (w, gradient, transposeB, true) : (gradient, w, false, !transposeB), alpha, to: slots[0],
                shape: x.shape)
        }
        if slots[1].isNeeded {
            addProduct(
                transposeB ? (gradient, x, true, transposeA) : (x, gradient, !transposeA, false), alpha, to: slots[1],
                shape: w.shape)
        }
    }
}

/// Writes alpha · A · B + beta · C into an existing dense tensor that nothing else reads; no gradient.
public func matrixProduct(
    _ a: Tensor, _ b: Tensor, transposeA: Bool = false, transposeB: Bool = false, alpha: Float = 1, beta: Float = 0,
    into c: Tensor
) {
    let plan = ProductPlan(a, b, transposeA: transposeA, transposeB: transposeB)
    require(c.shape == plan.shape, "matrixProduct: the result has shape \(plan.shape), the destination \(c.shape)")
    plan.run(a, b, alpha: alpha, beta: beta, into: c.mutablePointer)
}

/// Adds a product to a gradient: straight into its buffer where no batch axis was broadcast.
private func addProduct(
    _ factors: (a: Tensor, b: Tensor, transposeA: Bool, transposeB: Bool), _ alpha: Float, to slot: InputGradient,
    shape: [Int]
) {
    let (a, b, transposeA, transposeB) = factors
    let plan = ProductPlan(a, b, transposeA: transposeA, transposeB: transposeB)
    if plan.shape == shape {
        slot.accumulate { plan.run(a, b, alpha: alpha, beta: $1, into: $0) }
    } else if shape.count == 2, transposeA, !transposeB, a.shape.dropLast(2) == b.shape.dropLast(2) {
        // A weight shared by a batch: one long product over all rows instead of one for each batch item and a sum.
        let (x, w) = (a.flattenedRows, b.flattenedRows)
        let flat = ProductPlan(x, w, transposeA: true, transposeB: false)
        slot.accumulate { flat.run(x, w, alpha: alpha, beta: $1, into: $0) }
    } else {
        slot.add(matrixProduct(a, b, transposeA: transposeA, transposeB: transposeB, alpha: alpha).summed(to: shape))
    }
}

/// The layout of a product: its sizes, its batch, and the part of the batch that can be one product.
private struct ProductPlan {
    let m: Int, n: Int, k: Int
    let batch: [Int]
    let transposeA: Bool, transposeB: Bool

    var shape: [Int] { batch + [m, n] }

    init(_ a: Tensor, _ b: Tensor, transposeA: Bool, transposeB: Bool) {
        func message() -> String {
            "matrixProduct: \(a.shape)\(transposeA ? "ᵀ" : "") · \(b.shape)\(transposeB ? "ᵀ" : "")"
        }
        require(a.rank >= 2 && b.rank >= 2, "\(message()): needs at least two axes on both sides")
        m = a.shape[a.rank - (transposeA ? 1 : 2)]
        k = a.shape[a.rank - (transposeA ? 2 : 1)]
        n = b.shape[b.rank - (transposeB ? 2 : 1)]
        let inner = b.shape[b.rank - (transposeB ? 1 : 2)]
        require(k == inner, "\(message()): inner lengths \(k) and \(inner) differ")
        batch = Shape.broadcast(Array(a.shape.dropLast(2)), Array(b.shape.dropLast(2)), message())
        self.transposeA = transposeA
        self.transposeB = transposeB
    }

    func run(_ a: Tensor, _ b: Tensor, alpha: Float, beta: Float, into c: UnsafeMutablePointer<Float>) {
        if m == 0 || n == 0 || Shape.count(batch) == 0 { return }
        // Rows of every batch item against one matrix: a single tall product.
        if b.rank == 2, !transposeA, a.rank > 2, a.isContiguous {
            let tall = a.flattenedRows
            let plan = ProductPlan(tall, b, transposeA: false, transposeB: transposeB)
            return plan.run(tall, b, alpha: alpha, beta: beta, into: c)
        }
        let (left, right) = (MatrixView(a, transposeA), MatrixView(b, transposeB))
        let (x, w) = (left.tensor.expanded(to: batch + left.shape), right.tensor.expanded(to: batch + right.shape))
        let outer = [x.strides.dropLast(2), w.strides.dropLast(2), Shape.strides(shape).dropLast(2)]
        var places: [[Int]] = []
        Shape.walk(batch[...], outer) { places.append($0) }
        let (px, pw) = (x.storage.pointer + x.offset, w.storage.pointer + w.offset)
        let parallelInside = places.count < Threads.count
        func product(_ at: [Int], _ multiply: Multiply) {
            multiply(
                m, n, k, alpha, left.operand(px + at[0]), right.operand(pw + at[1]), beta, c + at[2], n)
        }
        if parallelInside {
            for at in places {
                product(at) { BLAS.multiplyInParallel($0, $1, $2, alpha: $3, $4, $5, beta: $6, $7, stride: $8) }
            }
        } else {
            parallelFor(places.count) { index in
                product(places[index]) { BLAS.multiply($0, $1, $2, alpha: $3, $4, $5, beta: $6, $7, stride: $8) }
            }
        }
    }

    typealias Multiply = (
        Int, Int, Int, Float, BLAS.Operand, BLAS.Operand, Float, UnsafeMutablePointer<Float>, Int
    ) -> Void
}

extension Tensor {
    /// All axes but the last as one.
    fileprivate var flattenedRows: Tensor {
        detached().reshaped([Shape.count(Array(shape.dropLast())), shape.last ?? 1])
    }
}
