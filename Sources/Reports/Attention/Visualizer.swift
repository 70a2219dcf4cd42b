import NN
import Tensors

/// Shows the weights of attention of a model: what each query takes of each key.
///
///     try Visualizer(model).plotAllHeads(tokens, to: "heads.png")
///
/// of a language model, and of anything else that passes its mode on to layers of attention
///
///     let visualizer = Visualizer { (x: Tensor, mode) in _ = layer(x, mode: mode) }
public struct Visualizer<Input>: Sendable {
    private let forward: @Sendable (Input, ForwardMode) -> Void

    /// - Parameter forward: runs the model on an input in the mode that is given.
    public init(_ forward: @escaping @Sendable (Input, ForwardMode) -> Void) { self.forward = forward }

    /// Runs the model without dropout and returns the weights of each of its layers, in the order in which they ran; none
    /// where it has no attention that shows them.
    public func attention(of input: Input) -> [AttentionRecorder.Layer] {
        let recorder = AttentionRecorder()
        withoutGradients { forward(input, .recording(recorder)) }
        return recorder.layers
    }

    /// Draws every head of every layer for the first row of a batch.
    /// - Parameters:
    ///   - path: of the PNG file.
    ///   - nLimit: the first so many queries are drawn; nil for all.
    /// - Throws: `InputError` where there is nothing to draw or the file cannot be written.
    public func plotAllHeads(
        _ input: Input, title: String = "Visualization of Attention Heads", to path: String, nLimit: Int? = nil
    ) throws {
        var grid = AttentionGrid(attention(of: input), title: title)
        grid.nLimit = nLimit
        try grid.write(to: path)
    }
}

extension Visualizer where Input == TokenTensor {
    /// Shows a language model reading tokens [b, n].
    public init(_ model: some LanguageModel) { self.init { _ = model($0, mode: $1) } }
}
