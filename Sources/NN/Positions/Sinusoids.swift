import Foundation
import Tensors

/// The rates at which the angles of positions grow, base^(−2i/d) for each of ⌈d/2⌉ pairs of columns (Attention Is All You Need,
/// 1706.03762, section 3.5): rotary positions and sinusoids begin with them.
/// - Parameter dimension: d.
public func inverseFrequencies(_ dimension: Int, base: Double = 10_000) -> [Float] {
    stride(from: 0, to: dimension, by: 2).map { 1 / Float(Foundation.pow(base, Double($0) / Double(dimension))) }
}

/// The order of the columns of sinusoids.
public enum SinusoidOrder: Sendable {
    /// All sines, then all cosines.
    case halves
    /// Sine and cosine of each rate side by side.
    case pairs
}

/// Returns sine and cosine of each position at each rate, cut to d columns (1706.03762, section 3.5): [positions, d].
/// - Parameters:
///   - positions: [n].
///   - frequencies: the rates, [⌈d/2⌉].
///   - dimension: d.
public func sinusoids(
    _ positions: Tensor, frequencies: Tensor, dimension: Int, order: SinusoidOrder = .halves
) -> Tensor {
    let n = positions.count
    require(
        positions.rank == 1 && frequencies.shape == [(dimension + 1) / 2],
        "sinusoids: positions \(positions.shape), frequencies \(frequencies.shape), \(dimension) columns")
    let angles = positions.reshaped([n, 1]) * frequencies  // [n, ⌈d/2⌉]
    let both =
        switch order {
        case .halves: concatenate([sin(angles), cos(angles)], axis: 1)
        case .pairs:
            concatenate([sin(angles).unsqueezed(2), cos(angles).unsqueezed(2)], axis: 2)
                .reshaped([n, 2 * frequencies.count])
        }
    return both.sliced(1, to: dimension)
}
