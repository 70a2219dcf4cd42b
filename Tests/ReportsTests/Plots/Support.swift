import Foundation
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// The elements of a well-formed document, in the order of their opening tags.
struct Elements {
    struct Element {
        let name: String
        let attributes: [String: String]
        /// That it holds itself, without that of elements in it.
        var text = ""
    }

    var all: [Element] = []

    /// Records an issue where `source` is not well-formed XML.
    init(_ source: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let parser = XMLParser(data: Data(source.utf8))
        let reader = Reader()
        parser.delegate = reader
        let isWhole = parser.parse()
        #expect(isWhole, "\(String(describing: parser.parserError))", sourceLocation: sourceLocation)
        all = reader.elements
    }

    subscript(name: String) -> [Element] { all.filter { $0.name == name } }

    var text: String { all.map(\.text).joined() }

    private final class Reader: NSObject, XMLParserDelegate {
        var elements: [Element] = []
        var open: [Int] = []

        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String]
        ) {
            open.append(elements.count)
            elements.append(Element(name: name, attributes: attributes))
        }

        func parser(_ parser: XMLParser, didEndElement: String, namespaceURI: String?, qualifiedName: String?) {
            open.removeLast()
        }

        func parser(_ parser: XMLParser, foundCharacters text: String) {
            if let last = open.last { elements[last].text += text }
        }
    }
}

extension Elements.Element {
    func number(_ attribute: String) -> Double? { attributes[attribute].flatMap(Double.init) }

    /// The points of a path, run by run.
    var runs: [[(x: Double, y: Double)]] {
        (attributes["d"] ?? "").split(separator: "M").map { run in
            run.split(separator: " ").map { pair in
                let parts = pair.split(separator: ",").compactMap { Double($0) }
                return (parts[0], parts[1])
            }
        }
    }
}
