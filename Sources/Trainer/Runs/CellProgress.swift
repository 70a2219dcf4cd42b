/// Where a plan of cells stands, of which one after another is measured.
public struct CellProgress: Sendable {
    /// Of the current cell, from 1.
    public let number: Int
    /// Cells of the plan.
    public let total: Int
    /// Of the whole plan, an estimate; nil while there is nothing to go by.
    public let secondsLeft: Double?

    public init(number: Int, total: Int, secondsLeft: Double?) {
        (self.number, self.total, self.secondsLeft) = (number, total, secondsLeft)
    }
}
