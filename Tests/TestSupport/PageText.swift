import Foundation
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// The text of a page. Records an issue where the page is not well-formed.
public struct PageText {
    public struct Element {
        public let name: String
        let parent: Int?
        /// With that of the elements in it.
        public internal(set) var text = ""
    }

    public let elements: [Element]

    public init(_ html: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let parser = XMLParser(data: Data(html.utf8))
        let reader = Reader()
        parser.delegate = reader
        let isWhole = parser.parse()
        #expect(isWhole, "\(String(describing: parser.parserError))", sourceLocation: sourceLocation)
        elements = reader.elements
    }

    private func texts(_ name: String) -> [String] { elements.filter { $0.name == name }.map(\.text) }

    public var title: String { texts("h1").first ?? "" }
    public var headings: [String] { texts("h2") }
    /// The words in plots.
    public var labels: Set<String> { Set(texts("text")) }
    public var text: String { texts("body").first ?? "" }

    /// The rows of all tables, cell by cell.
    public var rows: [[String]] {
        elements.indices.filter { elements[$0].name == "tr" }.map { row in
            elements.filter { $0.parent == row }.map(\.text)
        }
    }

    /// Returns the cells after the name in the first row of this name.
    public func row(_ name: String) -> [String]? { rows.first { $0.first == name }.map { Array($0.dropFirst()) } }

    private final class Reader: NSObject, XMLParserDelegate {
        var elements: [Element] = []
        private var open: [Int] = []

        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String]
        ) {
            elements.append(Element(name: name, parent: open.last))
            open.append(elements.count - 1)
        }

        func parser(_ parser: XMLParser, didEndElement: String, namespaceURI: String?, qualifiedName: String?) {
            open.removeLast()
        }

        func parser(_ parser: XMLParser, foundCharacters text: String) {
            for index in open { elements[index].text += text }
        }
    }
}
