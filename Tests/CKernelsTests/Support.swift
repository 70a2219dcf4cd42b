@_exported import AttentionZooTestSupport
import CKernels
import Foundation
import Testing

// MARK: Data

/// A stream of its own (SplitMix64), so that the tests do not lean on the generator under test.
struct TestStream {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func word() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// In [-scale, scale).
    mutating func value(_ scale: Float = 1) -> Float { Float(Int32(truncatingIfNeeded: word())) * 0x1p-31 * scale }
}

func values(_ count: Int, seed: UInt64 = 1, scale: Float = 2, offset: Float = 0) -> [Float] {
    var stream = TestStream(seed)
    return (0..<count).map { _ in stream.value(scale) + offset }
}

let specials: [Float] = [
    0, -0.0, 1, -1, .infinity, -.infinity, .nan, 0x1p-133, -0x1p-133, .leastNormalMagnitude, -.leastNormalMagnitude,
    .leastNonzeroMagnitude, .greatestFiniteMagnitude, -.greatestFiniteMagnitude, 1e-20, -1e-20, 20, -20, 90, -90,
]

extension [Float] {
    var doubles: [Double] { map(Double.init) }
}

// MARK: Calling a kernel

/// Runs a kernel on a new buffer and returns it; what follows the buffer must be left alone.
func output(
    _ count: Int, initially: [Float]? = nil, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (UnsafeMutablePointer<Float>) -> Void
) -> [Float] {
    let guardCount = 16
    var buffer = (initially ?? [Float](repeating: .nan, count: count)) + [Float](repeating: 77, count: guardCount)
    buffer.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
    #expect(buffer[count...].allSatisfy { $0 == 77 }, "wrote past the end", sourceLocation: sourceLocation)
    return Array(buffer[..<count])
}

// MARK: Comparison

/// The same bits, any NaN counting as the same.
func expectSame(
    _ actual: [Float], _ expected: [Float], _ label: String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(actual.count == expected.count, "\(label): counts", sourceLocation: sourceLocation)
    let wrong = zip(actual, expected).enumerated().first {
        !($1.0.isNaN && $1.1.isNaN) && $1.0.bitPattern != $1.1.bitPattern
    }
    let message = wrong.map { "\(label)[\($0.offset)] is \($0.element.0), not \($0.element.1)" } ?? ""
    #expect(wrong == nil, "\(message)", sourceLocation: sourceLocation)
}

// MARK: Gradients

/// Central differences of sum(dy * f(x)) in float64: exact to about 1e-9 of the function's scale.
func numericalGradient(of f: ([Double]) -> [Double], at x: [Double], dy: [Double]) -> [Double] {
    x.indices.map { i in
        let h = 1e-5 * max(1, abs(x[i]))
        var above = x
        var below = x
        above[i] += h
        below[i] -= h
        let difference = zip(f(above), f(below)).map { $0 - $1 }
        return zip(difference, dy).reduce(0) { $0 + $1.0 * $1.1 } / (2 * h)
    }
}
