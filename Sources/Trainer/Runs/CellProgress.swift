/// The progress of a plan of cells, which are measured one after another.
public struct CellProgress: Sendable {
    /// The number of the current cell, from 1.
    public let number: Int
    /// Cells of the plan.
    public let total: Int
    /// The estimated time that the whole plan still takes; nil while there is nothing to go by.
    public let secondsLeft: Double?

    /// Creates the progress of a plan that has come to a cell, counted from 1.
    public init(number: Int, total: Int, secondsLeft: Double?) {
        (self.number, self.total, self.secondsLeft) = (number, total, secondsLeft)
    }
}
