import CKernels
import NN
import Tensors

// What ends a training before its time: numbers that are not finite, files that cannot be written.

extension TrainingRun {
    /// The fault of a step whose loss or gradients are not finite; nothing has been changed by it yet.
    func notFinite(loss: Double, norm: Double, _ gradients: Gradients) -> TrainingFault {
        let culprit =
            firstWeightNotFinite ?? firstNotFinite("the gradient of") { gradients[$0] }.map { $0 + largestWeight }
            ?? "all weights and gradients are finite"
        let problem = loss.isFinite ? "the gradient's norm is \(norm.unsigned)" : "the loss is \(loss.unsigned)"
        return TrainingFault(.notFinite, "step \(step + 1): \(problem); \(culprit)", wayOn: wayOn)
    }

    /// - Throws: `TrainingFault` when weights or the validation loss after a step are not finite: such a step is not saved.
    func requireFinite(validation loss: Double?) throws {
        if let loss, !loss.isFinite {
            let culprit = firstWeightNotFinite ?? "all weights are finite"
            throw TrainingFault(
                .notFinite, "after step \(step): the validation loss is \(loss.unsigned); \(culprit)", wayOn: wayOn)
        }
        if let culprit = firstWeightNotFinite {
            throw TrainingFault(.notFinite, "after step \(step): \(culprit); the step is not saved", wayOn: wayOn)
        }
    }

    private var firstWeightNotFinite: String? { firstNotFinite("the parameter") { $0.value } }

    /// Where the numbers may have begun to grow: a loss that is not finite spoils all gradients at once.
    private var largestWeight: String {
        let sizes = model.trainable.map { key, parameter in
            (key: key, size: parameter.value.detached().contiguous().values.reduce(0) { max($0, abs($1)) })
        }
        guard let (key, size) = sizes.max(by: { $0.size < $1.size }) else { return "" }
        return ", while weights are finite, the largest of them \(size) in \(key)"
    }

    private func firstNotFinite(_ what: String, _ tensor: (Parameter) -> Tensor?) -> String? {
        for (key, parameter) in model.trainable {
            if let value = tensor(parameter)?.firstNotFinite { return "\(what) \(key) holds \(value.unsigned)" }
        }
        return nil
    }

    /// How to go on. The step after a checkpoint gives the same numbers again whatever the options: one before it is
    /// needed then.
    private var wayOn: String {
        guard let folder, let saved = savedStep else { return "; try a lower learning rate, or clipping" }
        let options = "--learning-rate \(options.learningRate / 2), or with a lower --clip"
        guard saved == step else {
            return
                "; step \(saved) is saved: go on from it with --resume \(folder.path.pathArgument.shellQuoted) \(options)"
        }
        guard let earlier = folder.savedSteps.last(where: { $0 < step }) else {
            return
                "; no earlier checkpoint than that of step \(saved), from which the same would come again, is kept in"
                + " \(folder.path): begin again with a lower --learning-rate, --clip, or longer --warmup"
        }
        return "; the same would come again from step \(saved): go on from an earlier one with"
            + " --resume \(folder.checkpoint(earlier).path.pathArgument.shellQuoted) \(options)"
    }

    /// Adds to an error in writing the run's files where the run stands.
    func writing(_ body: () throws -> Void) throws {
        do { try body() } catch let error as InputError {
            guard let folder, let saved = folder.savedSteps.last else { throw error }
            throw TrainingFault(
                .notWritten,
                error.message,
                wayOn:
                    "; step \(saved) is saved: go on from it with --resume \(folder.path.pathArgument.shellQuoted) when"
                    + " this is mended")
        }
    }
}

extension BinaryFloatingPoint {
    /// The number for people: NaN has a sign that says nothing.
    fileprivate var unsigned: Self { isNaN ? .nan : self }
}

extension Tensor {
    /// The first element that is infinite or no number.
    fileprivate var firstNotFinite: Float? {
        let dense = contiguous()
        return withExtendedLifetime(dense) {
            let place = az_first_not_finite(dense.count, dense.pointer)
            return place < dense.count ? dense.pointer[place] : nil
        }
    }
}
