import Tensors
import Testing
import Trainer

/// Expects `body` to throw an `InputError` or an `OptionError` with exactly this message, of one line.
public func expectError<Result>(
    _ message: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Result
) {
    #expect(!message.contains("\n"), sourceLocation: sourceLocation)
    let found = thrownMessage(sourceLocation, body)
    #expect(found == nil || found == message, sourceLocation: sourceLocation)
}

/// Expects `body` to throw an `InputError` or an `OptionError` of one line that has all of these names in this order: of
/// files, options, keys, values. How the sentence goes is left open.
public func expectError<Result>(
    naming names: String..., sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Result
) {
    guard let message = thrownMessage(sourceLocation, body) else { return }
    #expect(!message.contains("\n"), sourceLocation: sourceLocation)
    var rest = Substring(message)
    for name in names {
        let found = rest.firstRange(of: name)
        #expect(found != nil, "\(message): expected \(name) in \(rest)", sourceLocation: sourceLocation)
        rest = found.map { rest[$0.upperBound...] } ?? rest
    }
}

/// The message of the error of bad input that `body` throws; nil, which is an issue, where it throws none or another.
private func thrownMessage<Result>(_ sourceLocation: SourceLocation, _ body: () throws -> Result) -> String? {
    do {
        _ = try body()
        Issue.record("no error was thrown", sourceLocation: sourceLocation)
    } catch let error as InputError {
        return error.message
    } catch let error as OptionError {
        return error.description
    } catch {
        Issue.record("\(error) was thrown; expected an error of bad input", sourceLocation: sourceLocation)
    }
    return nil
}
