import Foundation
import Testing

/// Expects each Swift block of an article to be a part of a file that is compiled, indented there or not.
///
/// Paths are relative to the package.
public func expectCode(
    inArticle article: String, of source: String, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    func lines(_ path: String) throws -> [Substring] {
        try String(contentsOf: package.appendingPathComponent(path), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
    }
    let blocks = swiftBlocks(of: try lines(article))
    #expect(!blocks.isEmpty, "\(article): expected Swift code", sourceLocation: sourceLocation)
    let code = try lines(source)
    for block in blocks {
        let isThere = code.indices.contains { holds(code[$0...], block) }
        #expect(isThere, "\(article): not as in \(source): \(block.first ?? "")", sourceLocation: sourceLocation)
    }
}

private func swiftBlocks(of article: [Substring]) -> [[Substring]] {
    var blocks: [[Substring]] = []
    var isInside = false
    for line in article {
        if line.hasPrefix("```") {
            isInside = line == "```swift"
            if isInside { blocks.append([]) }
        } else if isInside {
            blocks[blocks.count - 1].append(line)
        }
    }
    return blocks
}

/// Returns true if lines begin with a block, all of it indented as its first line is.
private func holds(_ lines: ArraySlice<Substring>, _ block: [Substring]) -> Bool {
    guard lines.count >= block.count, let first = lines.first else { return false }
    let indentation = first.prefix { $0 == " " }.count
    return zip(lines, block).allSatisfy { line, expected in
        expected.isEmpty
            ? line.isEmpty
            : line.dropFirst(indentation) == expected
                && line.prefix(indentation).allSatisfy { $0 == " " }
    }
}
