import AttentionZooTestSupport
import Foundation
import Tensors
import Testing

/// Calls `body` with the path of a new empty folder, which is removed afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = try TemporaryFolder()
    return try withExtendedLifetime(folder) { try body(folder.path) }
}

/// The message of the `InputError` that `body` throws; nil (and a failed test) when it throws none.
func inputErrorMessage(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> String? {
    #expect(throws: InputError.self, sourceLocation: sourceLocation, performing: body)?.message
}

func bytes(ofFile path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
}
