import CKernels
import Tensors

// The fused forms of the feature maps: operations of one pass over the rows, and DPFP of some rows at a time for the memory.
//
// d columns of a row, dk features, m random directions

extension Features {
    /// Maps queries and keys, but leaves to the memory the map that costs less to compute again than to store.
    func prepared(_ q: Tensor, _ k: Tensor) -> (q: Tensor, k: Tensor, map: RowMap) {
        guard let rows = rowMap(q.shape.last ?? 0) else { return (self(q), self(k), .identity) }
        return (q, k, rows)
    }

    /// Maps rows in one pass, where there is such a pass; nil elsewhere. x: [..., d] → [..., dk]
    func inOnePass(_ x: Tensor) -> Tensor? { rowMap(x.shape.last ?? 0)?.callAsFunction(x) }

    /// The map as one of rows of d columns: DPFP, or unit length after no more than one function; nil for others.
    private func rowMap(_ d: Int) -> RowMap? {
        switch (map, activation, normalizesL2) {
        case (.dpfp, nil, false):
            let map = DPFP(nu: nu, epsilon: epsilon)
            map.check(d)
            return map.rows
        case (nil, let activation, true) where epsilon == nil: return .unit(activation.map { .activation($0) })
        case (.elu, nil, true) where epsilon == nil: return .unit(.eluPlusOne)
        default: return nil
        }
    }
}

/// ε below the root of the sum of squares, as in fla.
let unitEpsilon: Float = 1e-6

/// A function that rows go through before they are divided by their length.
enum UnitFunction: Sendable {
    case activation(Activation)
    case eluPlusOne

    /// f, and dx = dy · f′; nil for the identity.
    var kernels: (forward: UnaryKernel, backward: UnaryGradientKernel)? {
        switch self {
        case .activation(let activation): activation.kernels
        case .eluPlusOne: (az_elu_plus_one_forward, az_elu_plus_one_backward)
        }
    }
}

/// A feature map that the memory applies chunk by chunk.
enum RowMap: Sendable {
    /// Rows as they are.
    case identity
    /// DPFP-ν, divided by its sum + ε unless ε is nil.
    case dpfp(nu: Int, epsilon: Float?)
    /// Divided by their length, after a function.
    case unit(UnitFunction?)

    /// dk of rows of d columns.
    func width(_ d: Int) -> Int {
        switch self {
        case .identity, .unit: d
        case .dpfp(let nu, _): 2 * d * nu
        }
    }

    /// Floats that `forward` and `backward` work in.
    func scratch(_ d: Int) -> Int {
        switch self {
        case .identity: 0
        case .dpfp(let nu, _): 2 * (2 * d + nu)
        case .unit: 2 * d
        }
    }

    /// x: [count, d], rows `stride` apart → y: [count, dk], dense.
    func forward(
        _ count: Int, _ d: Int, _ x: UnsafePointer<Float>, stride: Int, into y: UnsafeMutablePointer<Float>,
        scratch: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .identity: az_copy_2d(count, d, x, stride, 1, y, d, 1)
        case .dpfp(let nu, let epsilon): az_dpfp_forward(count, d, nu, epsilon ?? -1, x, stride, y, scratch)
        case .unit(let function):
            az_unit_rows_forward(count, d, unitEpsilon, function?.kernels?.forward, x, stride, y)
        }
    }

    /// The gradient of x from that of y.
    func backward(
        _ count: Int, _ d: Int, _ x: UnsafePointer<Float>, stride: Int, dy: UnsafePointer<Float>,
        dx: UnsafeMutablePointer<Float>, dxStride: Int, scratch: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .identity: az_copy_2d(count, d, dy, d, 1, dx, dxStride, 1)
        case .dpfp(let nu, let epsilon):
            az_dpfp_backward(count, d, nu, epsilon ?? -1, x, stride, dy, dx, dxStride, scratch)
        case .unit(let function):
            let kernels = function?.kernels
            az_unit_rows_backward(
                count, d, unitEpsilon, kernels?.forward, kernels?.backward, x, stride, dy, dx, dxStride, scratch)
        }
    }

    /// The map as an operation of its own. x: [..., d] → [..., dk]
    func callAsFunction(_ x: Tensor) -> Tensor {
        let d = x.shape.last ?? 0
        let input = x.contiguous()
        let (width, count) = (width(d), d == 0 ? 0 : x.count / d)
        let y = Tensor(uninitialized: x.shape.dropLast() + [width])
        let (source, target) = (input.pointer, y.mutablePointer)
        rowsInParallel(count, scratch(d)) { rows, scratch in
            forward(
                rows.count, d, source + rows.lowerBound * d, stride: d, into: target + rows.lowerBound * width,
                scratch: scratch)
        }
        return .record("RowMap", y, inputs: [x]) { gradient, slots in
            let dy = gradient.contiguous()
            let dx = Tensor(uninitialized: input.shape)
            let (source, gradient, target) = (input.pointer, dy.pointer, dx.mutablePointer)
            rowsInParallel(count, scratch(d)) { rows, scratch in
                let first = rows.lowerBound
                backward(
                    rows.count, d, source + first * d, stride: d, dy: gradient + first * width,
                    dx: target + first * d, dxStride: d, scratch: scratch)
            }
            slots[0].add(dx)
        }
    }
}

/// DPFP-ν and the division by the sum (`dpfp`, `sumNormalized`) as one operation.
public struct DPFP: Sendable, Hashable {
    /// ν, at least 1 and less than 2 d.
    public let nu: Int
    /// ε of the sum; nil for no division.
    public let epsilon: Float?

    /// Creates the map, by default with the paper's ν = 1 and division by the sum.
    public init(nu: Int = 1, epsilon: Float? = 1e-6) {
        (self.nu, self.epsilon) = (nu, epsilon)
    }

    /// The same map for the memory.
    var rows: RowMap { .dpfp(nu: nu, epsilon: epsilon) }

    /// Stops where rows of d columns cannot be mapped.
    func check(_ d: Int) {
        require(
            nu > 0 && nu < 2 * d,
            "DPFP: nu \(nu) for rows of \(d) columns; expected at least 1 and less than \(2 * d)")
        require(epsilon == nil || epsilon! >= 0, "DPFP: epsilon \(epsilon!); expected at least 0")
    }

    /// x: [..., d] → [..., 2 d ν]
    public func callAsFunction(_ x: Tensor) -> Tensor {
        check(x.shape.last ?? 0)
        return rows(x)
    }
}

/// Runs `body` on ranges of rows, each with floats of its own to work in.
private func rowsInParallel(
    _ rows: Int, _ scratch: Int, _ body: (Range<Int>, UnsafeMutablePointer<Float>) -> Void
) {
    parallelRanges(rows, grain: 64) { range in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: max(scratch, 1)) { memory in
            if let base = memory.baseAddress { body(range, base) }
        }
    }
}

/// The fused form of `favorFeatures`.
func fusedFavorFeatures(_ x: Tensor, projection: Tensor) -> Tensor {
    let (d, m) = (projection.shape[0], projection.shape[1])
    let x = x.contiguous()
    let rows = x.count / d
    let u = matrixProduct(x.reshaped([rows, d]), projection)
    let scale = 1 / Float(2 * m).squareRoot()
    let y = Tensor(uninitialized: x.shape.dropLast() + [2 * m])
    let grain = max(1, (1 << 16) / (2 * m))  // rows of some 64 Ki features
    parallelRanges(rows, grain: grain) {
        let first = $0.lowerBound
        az_exponential_pairs_forward(
            $0.count, d, m, scale, x.pointer + first * d, u.pointer + first * m, y.mutablePointer + first * 2 * m)
    }
    return .record("favorFeatures", y, inputs: [x, u]) { gradient, slots in
        let dy = gradient.contiguous()
        let du = slots[1].isNeeded ? Tensor(uninitialized: [rows, m]) : nil
        func pass(_ dx: UnsafeMutablePointer<Float>?, _ beta: Float) {
            parallelRanges(rows, grain: grain) {
                let first = $0.lowerBound
                az_exponential_pairs_backward(
                    $0.count, d, m, x.pointer + first * d, y.pointer + first * 2 * m, dy.pointer + first * 2 * m, beta,
                    dx.map { $0 + first * d }, du.map { $0.mutablePointer + first * m })
            }
        }
        if slots[0].isNeeded { slots[0].accumulate(pass) } else if du != nil { pass(nil, 0) }
        if let du { slots[1].add(du) }
    }
}
