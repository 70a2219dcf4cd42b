@_exported import AttentionZooTestSupport
import Foundation
import Tensors
import Testing
import Trainer

/// A text of its own for tests of what stands on texts: 0, 1, 2 … as tokens.
func countingTokens(_ count: Int, name: String = "numbers") -> TokenSource {
    TokenSource(name: name, tokens: (0..<Int32(count)).map { $0 })
}

/// Writes the last step into the run's report.html, in place of the page that a program makes of a record.
func writeReport(_ record: RunRecord) throws {
    let path = try RunFolder(path: record.path).reportPath
    try AtomicFile.write(Data("after step \(record.metrics.last?.step ?? 0)".utf8), to: path)
}
