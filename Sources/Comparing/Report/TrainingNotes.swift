import ModelZoo
import Plotting

// How the models are trained, as far as that is needed to judge what came out.

extension ComparisonReport {
    /// The same for all: none is tuned.
    func learningRate(_ rate: Double) -> String {
        "all models with one constant learning rate, \(rate), after a warm-up"
    }

    /// What block-recurrent does where a sequence of the training is longer than its segments.
    /// - Parameter size: of the models, with the longest sequence of the training.
    /// - Returns: nil without that model, and where a segment is a whole sequence.
    func segmentNote(_ size: ModelSize) -> String? {
        guard let model = models.first(where: { $0.id == "block-recurrent" }),
            let architecture = try? ModelZoo.architecture(model.id),
            case .object(let members) = architecture.configuration(size),
            case .integer(let segment)? = members["max_seq_len"], segment < size.sequenceLength
        else { return nil }
        return
            "\(model.name) is trained on one segment of \(Numbers.text(segment)) tokens after another: gradients do not "
            + "pass from one to the next (truncated backpropagation). The others are differentiated through the whole "
            + "sequence."
    }
}
