import Tensors
import Testing

/// The layout of an operation's input in memory.
enum Layout: CaseIterable {
    case dense
    /// The last two axes exchanged.
    case transposed
    /// Every second element of wider rows; what lies between is NaN and must be neither read nor given a gradient.
    case sliced
    /// The first slice of axis 0 for all of them, without copies.
    case expanded

    /// Memory from which `view` makes a tensor of the same shape as `x` (and, unless expanded, of the same values); nil
    /// where the layout does not exist or is the dense one.
    func base(_ x: Tensor) -> Tensor? {
        switch self {
        case .dense: return x
        case .transposed: return x.rank < 2 ? nil : x.transposed().contiguous()
        case .sliced:
            guard let n = x.shape.last else { return nil }
            let wide = Tensor(repeating: .nan, shape: x.shape.dropLast() + [2 * n + 1])
            for (i, value) in x.values.enumerated() { wide.mutablePointer[i / n * (2 * n + 1) + i % n * 2 + 1] = value }
            return wide
        case .expanded: return x.rank == 0 || x.shape[0] < 2 ? nil : x.sliced(0, to: 1).contiguous()
        }
    }

    func view(_ base: Tensor, _ shape: [Int]) -> Tensor {
        switch self {
        case .dense: base
        case .transposed: base.transposed()
        case .sliced: base.sliced(-1, from: 1, by: 2)
        case .expanded: base.expanded(to: shape)
        }
    }
}

/// Compares the gradients of an operation with central differences of Σ output · w for random w, for every layout of the
/// inputs. Also checks that views give the values of dense inputs, that each gradient is the same when only that input
/// wants one, and that a second pass adds to the gradients of the first.
///
/// Differences are Richardson's: (4 D(h) − D(2h)) / 3 with h = 1/32, whose truncation is h⁴ f⁽⁵⁾ / 30 = 3e-8 f⁽⁵⁾. The
/// forward pass rounds to 2⁻²⁴; over a step of 1/32 that is some 4e-6 of the sum's size, a few units for the sums here.
/// Hence the tolerance: 5e-4 of the largest gradient (or of 1). `sample` draws from a grid on which x ± h is exact.
func checkGradients(
    _ inputs: [Tensor], tolerance: Double = 5e-4, layouts: [Layout] = Layout.allCases,
    sourceLocation: SourceLocation = #_sourceLocation, of operation: @escaping ([Tensor]) -> Tensor
) {
    for layout in layouts {
        let made = inputs.map { layout.base($0) }
        if made.allSatisfy({ $0 == nil }) { continue }
        // Inputs that do not have the layout (scalars) stay dense.
        let layouts = made.map { $0 == nil ? Layout.dense : layout }
        let check = GradientCheck(
            bases: zip(made, inputs).map { $0 ?? $1 }, shapes: inputs.map(\.shape), layouts: layouts,
            tolerance: tolerance, comment: "\(layout)", location: sourceLocation, operation: operation)
        check.run()
    }
}

private struct GradientCheck {
    let bases: [Tensor]
    let shapes: [[Int]]
    let layouts: [Layout]
    let tolerance: Double
    let comment: Comment
    let location: SourceLocation
    let operation: ([Tensor]) -> Tensor

    func run() {
        let output = output(bases)
        let dense = withoutGradients { operation(views(bases).map { Tensor($0.values, shape: $0.shape) }) }
        // Rounding in another order (a product reads a transposed matrix by another kernel): 2⁻²⁴ and a little.
        expectClose(
            output, dense.values.map(Double.init), shape: dense.shape, tolerance: 1e-5, sourceLocation: location)
        // A gradient that is a view itself, as one that comes through a transposition.
        let plain = Tensor.uniform(output.shape, low: -1, high: 1, key: RandomKey(seed: 99))
        let seed = plain.rank < 2 ? plain : plain.transposed().contiguous().transposed()

        let (leaves, all) = analytic(wanting: Set(bases.indices), seed)
        for i in bases.indices {
            guard let gradient = all[leaves[i]] else {
                Issue.record("input \(i) of shape \(shapes[i]) got no gradient", sourceLocation: location)
                continue
            }
            #expect(gradient.shape == bases[i].shape, comment, sourceLocation: location)
            compare(gradient, numeric(i, seed), "input \(i)")
            let (alone, one) = analytic(wanting: [i], seed)
            expectClose(one[alone[i]]!, gradient.values.map(Double.init), tolerance: 1e-5, sourceLocation: location)
        }
        accumulates(seed)
    }

    private func views(_ bases: [Tensor]) -> [Tensor] {
        bases.indices.map { layouts[$0].view(bases[$0], shapes[$0]) }
    }

    private func output(_ bases: [Tensor]) -> Tensor { withoutGradients { operation(views(bases)) } }

    private func analytic(wanting wanted: Set<Int>, _ seed: Tensor) -> ([Tensor], Gradients) {
        let leaves = bases.enumerated().map { wanted.contains($0.offset) ? $0.element.requiringGradient() : $0.element }
        return (leaves, gradients(of: operation(views(leaves)), seed: seed))
    }

    private func accumulates(_ seed: Tensor) {
        let leaves = bases.map { $0.requiringGradient() }
        let once = gradients(of: operation(views(leaves)), seed: seed)
        let first = leaves.map { once[$0]?.values ?? [] }
        let twice = gradients(of: operation(views(leaves)), seed: seed, addedTo: once)
        for (leaf, first) in zip(leaves, first) {
            expectClose(twice[leaf]!, first.map { 2 * Double($0) }, tolerance: 1e-5, sourceLocation: location)
        }
    }

    private func numeric(_ input: Int, _ seed: Tensor) -> [Double] {
        centralDifferences(of: { operation(views($0)) }, at: bases, input: input, weights: seed)
    }

    private func compare(_ gradient: Tensor, _ expected: [Double], _ name: String) {
        let scale = expected.reduce(1) { max($0, abs($1)) }
        for (i, (value, reference)) in zip(gradient.values, expected).enumerated()
        where !(abs(Double(value) - reference) <= tolerance * scale) {
            Issue.record(
                "\(comment): gradient of \(name) at \(i): \(value), by differences \(reference)",
                sourceLocation: location)
            return
        }
    }
}
