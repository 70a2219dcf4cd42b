extension Visualizer where Input == Tensor {
    /// Shows the layers of a Linformer on vectors [b, n, channels].
    public init(_ model: Linformer) { self.init { _ = model($0, mode: $1) } }

    /// Shows a layer of Linformer's attention on vectors [b, n, channels].
    public init(_ layer: MHAttention) { self.init { _ = layer($0, mode: $1) } }
}
