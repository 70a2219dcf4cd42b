/// Stops with a message, in release builds too (`precondition` drops its message there), when a programmer's mistake is
/// found: shapes that do not fit, an axis that does not exist. What comes from outside the program throws instead.
@inlinable
public func require(
    _ condition: Bool, _ message: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) {
    if !condition { fatalError(message(), file: file, line: line) }
}
