/// A change of low rank to a matrix of weights: W + s B A (LoRA, 2106.09685, section 4.1).
public struct LowRankAdapter: Sendable {
    /// A: [rank, columns]
    public let down: Parameter
    /// B: [rows, rank]
    public let up: Parameter
    /// s.
    public let scale: Float

    /// The shape of the matrix that is changed, [rows, columns].
    public var shape: [Int] { [up.shape[0], down.shape[1]] }

    /// Creates an adapter. down: [rank, columns]; up: [rows, rank]
    public init(down: Tensor, up: Tensor, scale: Float) {
        require(
            down.rank == 2 && up.rank == 2 && down.shape[0] == up.shape[1],
            "LowRankAdapter: \(up.shape) times \(down.shape), expected [rows, rank] times [rank, columns]")
        self.down = Parameter(down)
        self.up = Parameter(up)
        self.scale = scale
    }

    /// W + s B A, [rows, columns]; gradients flow to A and B, and to W where it is trained.
    public func added(to weight: Tensor) -> Tensor {
        weight + matrixProduct(up.value, down.value, alpha: scale)
    }
}
