import Foundation
import Testing

/// Expects each listing of a model's card, the Swift code under its heading "## Listing", to stand in one of some source
/// files as it is, line by line.
/// - Parameters:
///   - card, sources: paths from the package's folder.
///   - lines: the least that the listings come to.
public func expectListing(
    inCard card: String, of sources: String..., lines least: Int = 20, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    func lines(_ path: String) throws -> [Substring] {
        try String(contentsOf: folder.appendingPathComponent(path), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
    }
    let section = try lines(card).drop { $0 != "## Listing" }.dropFirst().prefix { !$0.hasPrefix("## ") }
    var listings: [[Substring]] = []
    var isInside = false
    for line in section {
        if line.hasPrefix("```") {
            isInside = line == "```swift"
            if isInside { listings.append([]) }
        } else if isInside {
            listings[listings.count - 1].append(line)
        }
    }
    let files = try sources.map(lines)
    let names = sources.joined(separator: ", ")
    #expect(
        listings.reduce(0) { $0 + $1.count } >= least, "\(card): expected a listing of \(names)",
        sourceLocation: sourceLocation)
    for listing in listings {
        let isThere = files.contains { code in code.indices.contains { code[$0...].starts(with: listing) } }
        #expect(isThere, "\(card): not as in \(names): \(listing.first ?? "")", sourceLocation: sourceLocation)
    }
}
