import AttentionZooTestSupport
import Foundation
import Tensors
import Testing

/// Random values in low … high on a grid of 1/1024, at least `margin` away from 0 (for functions with a kink there).
func sample(_ shape: [Int], low: Float = -1.5, high: Float = 1.5, margin: Float = 0, seed: UInt64 = 1) -> Tensor {
    let drawn = Tensor.uniform(shape, low: low, high: high, key: RandomKey(seed: seed))
    let values = drawn.values.map { value -> Float in
        let rounded = (value * 1024).rounded() / 1024
        return rounded + (rounded < 0 ? -margin : margin)
    }
    return Tensor(values, shape: shape)
}

/// Distinct values at least `gap` apart, in random order: for functions with a kink where two elements are equal.
func distinct(_ shape: [Int], gap: Float = 0.25, seed: UInt64 = 1) -> Tensor {
    let order = sample(shape, seed: seed).values.enumerated().sorted {
        ($0.element, $0.offset) < ($1.element, $1.offset)
    }
    var values = [Float](repeating: 0, count: order.count)
    for (rank, entry) in order.enumerated() { values[entry.offset] = (Float(rank) - Float(order.count) / 2) * gap }
    return Tensor(values, shape: shape)
}

/// Every index of a shape, in row-major order.
func indices(_ shape: [Int]) -> [[Int]] {
    shape.reduce([[]]) { all, length in all.flatMap { index in (0..<length).map { index + [$0] } } }
}

/// The elements of a result computed one by one.
func expected(_ shape: [Int], _ element: ([Int]) -> Double) -> [Double] { indices(shape).map(element) }

extension Tensor {
    /// One element; an axis of length 1 stands for any position, and missing leading axes are skipped: broadcasting.
    func element(_ index: [Int]) -> Double {
        let dense = contiguous()
        var place = 0
        for (position, length) in zip(index.suffix(rank), shape) {
            place = place * length + (length == 1 ? 0 : position)
        }
        return withExtendedLifetime(dense) { Double(dense.pointer[place]) }
    }
}

/// Checks shape and values: each within `tolerance` of the expected one, relative to it where it is above 1. NaN must
/// meet NaN and infinity the same infinity.
func expectClose(
    _ tensor: Tensor, _ expected: [Double], shape: [Int]? = nil, tolerance: Double,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    if let shape { #expect(tensor.shape == shape, sourceLocation: sourceLocation) }
    expectClose(
        tensor.values, expected, within: expected.map { tolerance * max(1, abs($0)) }, sourceLocation: sourceLocation)
}

/// Checks that a tensor has exactly these values; NaN meets NaN.
func expectEqual(
    _ tensor: Tensor, _ expected: [Float], shape: [Int]? = nil, sourceLocation: SourceLocation = #_sourceLocation
) {
    expectClose(tensor, expected.map(Double.init), shape: shape, tolerance: 0, sourceLocation: sourceLocation)
}

extension ExitTest.Result {
    /// The process's standard error.
    var message: String { String(decoding: standardErrorContent, as: UTF8.self) }
}
