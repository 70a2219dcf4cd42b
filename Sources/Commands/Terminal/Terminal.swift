import Foundation

/// The properties of the place that a file descriptor writes to.
package struct Terminal: Sendable, Hashable {
    /// True for a terminal on which lines can be overwritten.
    package let isInteractive: Bool
    /// True if colors are wanted there.
    package let hasColor: Bool
    private let descriptor: Int32
    private let columns: Int?

    private static let widthUnlessKnown = 80

    /// - Parameter environment: `TERM`: "dumb", or none at all, is a terminal that can only write on; `NO_COLOR`: not empty
    ///   for no color (no-color.org); `COLUMNS`: the width where the system does not know it.
    package init(
        descriptor: Int32 = STDOUT_FILENO, environment: [String: String] = ProcessInfo.processInfo.environment
    ) {
        let term = environment["TERM"] ?? ""
        self.descriptor = descriptor
        isInteractive = isatty(descriptor) == 1 && term != "dumb" && !term.isEmpty
        hasColor = isInteractive && environment["NO_COLOR"] ?? "" == ""
        columns = environment["COLUMNS"].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
    }

    /// The number of columns at this moment.
    package var width: Int {
        var size = winsize()
        if ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
        return columns ?? Self.widthUnlessKnown
    }
}
