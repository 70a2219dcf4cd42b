import Tensors

/// The roles of parameters that weight decay is often kept from, by the names that configurations have.
public enum ParameterRole: String, CaseIterable, Sendable {
    /// Gains of norms, and all other vectors but biases.
    case norms
    /// Vectors that are added, whose keys end with `bias`.
    case biases
    /// Tables that rows are looked up in.
    case embeddings

    /// The role of a parameter; nil of a matrix.
    /// - Parameter isTable: whether rows of it are looked up.
    init?(_ key: String, _ parameter: Parameter, isTable: Bool) {
        if isTable {
            self = .embeddings
        } else if parameter.shape.count(where: { $0 > 1 }) < 2 {
            self = key.hasSuffix("bias") ? .biases : .norms
        } else {
            return nil
        }
    }
}
