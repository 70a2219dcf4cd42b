import CKernels
import Foundation
import Tensors

/// One step of Adafactor (Shazeer and Stern, 1804.04235, algorithm 4, as torch.optim.Adafactor):
///
///     w = t^−c                                     R ← (1 − w) R + w mean_columns(g²),  C ← (1 − w) C + w mean_rows(g²)
///     V = R C / max(mean(R), ε₁)                   u = g / √max(V, ε₁²)
///     α = max(ε₂, rms(p)) min(η, 1 / √t)           p ← (1 − η λ) p − α u / max(1, rms(u) / d)
///
/// The factors are of the last two axes; a vector has its second moments whole. Sums are in float64, by one thread, so that
/// the bits are those of any number of threads.
struct AdafactorStep {
    private let options: OptimizerOptions
    private let slot: Optimizer.Slot
    /// η, and the factor of the gradients.
    private let learningRate: Double, scale: Float
    /// ε₁: torch's, of float32.
    private static let smallest = Double(Float.ulpOfOne)

    init(_ options: OptimizerOptions, _ slot: Optimizer.Slot, learningRate: Double, scale: Double) {
        (self.options, self.slot) = (options, slot)
        (self.learningRate, self.scale) = (learningRate * slot.rateFactor, Float(scale))
    }

    /// gradient: of the parameter's shape, dense.
    func update(_ gradient: Tensor) {
        let (count, shape) = (gradient.count, slot.parameter.shape)
        guard count > 0 else { return }
        let share = pow(Double(slot.steps), -options.decayExponent)
        let rate = min(learningRate, 1 / Double(slot.steps).squareRoot())
        let size = max(options.leastSize, slot.parameter.value.rootMeanSquare)
        let parameter = slot.parameter.value.mutablePointer
        let update = Tensor(uninitialized: [count])
        let u = update.mutablePointer
        for index in 0..<count { u[index] = scale * gradient.pointer[index] }
        if shape.count < 2 {
            divideByRoot(u, count, share)
        } else {
            let (rows, columns) = (shape[shape.count - 2], shape[shape.count - 1])
            for matrix in 0..<count / (rows * columns) {
                divideByFactors(
                    u + matrix * rows * columns, rows: rows, columns: columns, share: share, matrix: matrix)
            }
        }
        let limit = max(1, update.rootMeanSquare / options.updateLimit)
        let keep = Float(1 - learningRate * slot.weightDecay)
        let step = Float(rate * size / limit)
        for index in 0..<count { parameter[index] = keep * parameter[index] - step * u[index] }
    }

    /// Divides a vector by the roots of its second moments, which take in its squares before.
    private func divideByRoot(_ u: UnsafeMutablePointer<Float>, _ count: Int, _ share: Double) {
        let moment = slot.moments[0].mutablePointer
        let least = Float(Self.smallest * Self.smallest)
        for index in 0..<count {
            moment[index] += Float(share) * (u[index] * u[index] - moment[index])
            u[index] /= max(moment[index], least).squareRoot()
        }
    }

    /// The same for a matrix of second moments that are products of a row's and a column's.
    private func divideByFactors(
        _ u: UnsafeMutablePointer<Float>, rows: Int, columns: Int, share: Double, matrix: Int
    ) {
        let rowMoments = slot.moments[0].mutablePointer + matrix * rows
        let columnMoments = slot.moments[1].mutablePointer + matrix * columns
        var sums = [Double](repeating: 0, count: columns)
        var mean = 0.0
        for row in 0..<rows {
            let values = u + row * columns
            for column in 0..<columns { sums[column] += Double(values[column]) * Double(values[column]) }
            let square = az_sum_squares(columns, values) / Double(columns)
            rowMoments[row] += Float(share * (square - Double(rowMoments[row])))
            mean += Double(rowMoments[row]) / Double(rows)
        }
        for column in 0..<columns {
            columnMoments[column] += Float(share * (sums[column] / Double(rows) - Double(columnMoments[column])))
        }
        let (least, divisor) = (Float(Self.smallest * Self.smallest), Float(max(mean, Self.smallest)))
        for row in 0..<rows {
            let (values, factor) = (u + row * columns, rowMoments[row] / divisor)
            for column in 0..<columns { values[column] /= max(factor * columnMoments[column], least).squareRoot() }
        }
    }
}
