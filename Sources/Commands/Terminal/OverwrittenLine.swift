/// A line that is written over and over, for terminals that know `\r` and the escape code that erases the rest of a line.
package struct OverwrittenLine: Sendable {
    private let isTerminal: Bool
    private var isShown = false

    /// Creates a line that is not shown yet.
    package init(isTerminal: Bool) { self.isTerminal = isTerminal }

    /// Returns the output that shows a new text; empty without a terminal.
    package mutating func show(_ text: String, width: Int) -> String {
        guard isTerminal else { return "" }
        let before = end()
        isShown = true
        // One column stays free: in the last one some terminals go on to the next line.
        return before + text.prefix(max(width - 1, 1))
    }

    /// Returns the output that must come before anything else.
    package mutating func end() -> String {
        defer { isShown = false }
        return isShown ? "\r\u{1B}[K" : ""
    }
}
