import Tensors

/// The forms of an operation that is more than one tensor operation. Their numbers agree up to rounding.
public enum Implementation: String, Sendable, CaseIterable {
    /// As the paper writes it, in ordinary tensor operations: to read, and to compare with.
    case plain
    /// As one operation, faster and in less memory.
    case fused
}

/// The settings of a forward pass: the random key of dropout, the form of the operations, and who watches. A value
/// without state, so a pass can be repeated exactly.
public struct ForwardMode: Sendable {
    /// The key dropout draws from; nil turns dropout off.
    public private(set) var key: RandomKey?
    /// The form of the operations that have two.
    public private(set) var implementation = Implementation.fused
    /// The recorder of the weights of attention; usually none.
    public private(set) var recorder: AttentionRecorder?

    /// Without dropout.
    public static let inference = ForwardMode(key: nil)

    /// With dropout drawn from a key: give each training step a key of its own.
    public static func training(_ key: RandomKey) -> ForwardMode { ForwardMode(key: key) }

    /// Without dropout, the layers recording their weights of attention.
    public static func recording(_ recorder: AttentionRecorder) -> ForwardMode {
        var mode = inference
        mode.recorder = recorder
        return mode
    }

    private init(key: RandomKey?) { self.key = key }

    /// Chooses the form of the operations.
    public func using(_ implementation: Implementation) -> ForwardMode {
        var mode = self
        mode.implementation = implementation
        return mode
    }

    /// Returns the mode for a part of the model whose layers are recorded under its name.
    public func part(_ name: String) -> ForwardMode {
        var mode = self
        mode.recorder = recorder?.part(name)
        return mode
    }

    /// Returns the mode for a part of the model: parts with different numbers draw independently.
    public func child(_ index: Int) -> ForwardMode {
        var mode = self
        mode.key = key?.child(index)
        return mode
    }
}
