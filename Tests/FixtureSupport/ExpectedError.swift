import Tensors
import Testing

/// Expects `body` to throw an `InputError` with exactly this message, of one line.
public func expectError<Result>(
    _ message: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Result
) {
    #expect(!message.contains("\n"), sourceLocation: sourceLocation)
    #expect(throws: InputError(message), sourceLocation: sourceLocation) { _ = try body() }
}

/// Expects `body` to throw an `InputError` of one line that has all of these names in this order: of files, options, keys,
/// values. How the sentence goes is left open.
public func expectError<Result>(
    naming names: String..., sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Result
) {
    let error = #expect(throws: InputError.self, sourceLocation: sourceLocation) { _ = try body() }
    guard let message = error?.message else { return }
    #expect(!message.contains("\n"), sourceLocation: sourceLocation)
    var rest = Substring(message)
    for name in names {
        let found = rest.firstRange(of: name)
        #expect(found != nil, "\(message): expected \(name) in \(rest)", sourceLocation: sourceLocation)
        rest = found.map { rest[$0.upperBound...] } ?? rest
    }
}
