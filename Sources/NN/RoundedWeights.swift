import Tensors

extension Module {
    /// Rounds the matrices of weights in place, for decoding and other inference: embeddings, and what inputs are multiplied
    /// by. Norms, biases and whatever else is no matrix of a layer stay floats. The floats of a matrix are let go as soon as it
    /// is rounded, so a model never takes more memory than it did.
    ///
    /// A rounded model runs inside `withoutGradients` alone and is not trained. `save` writes what its weights stand for.
    /// Matrices that are rounded already stay as they are. Nothing else may use the model meanwhile.
    /// - Throws: `InputError` that names a parameter with a value the format cannot hold (NaN, infinity); nothing is changed
    ///   then.
    public func roundWeights(to format: RoundedMatrix.Format) throws {
        let state = state
        for (key, parameter) in state {
            guard let wrong = parameter.weight(outside: format) else { continue }
            throw InputError("\(key): has a weight \(wrong), which cannot be rounded to \(format.rawValue)")
        }
        for (_, parameter) in state { parameter.round(to: format) }
    }

    /// The format that the model's weights are rounded to; nil while all are floats.
    public var roundedFormat: RoundedMatrix.Format? { state.lazy.compactMap(\.parameter.roundedFormat).first }
}
