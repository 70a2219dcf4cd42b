/// A piece of a page. Text becomes one by being escaped, so nothing that is shown can end up as markup.
///
/// The markup is well-formed XML too.
package struct HTML: Sendable, Equatable {
    /// Markup, taken as it is.
    package let source: String

    /// Nothing.
    package static let empty = HTML(source: "")

    /// Text, escaped.
    package static func text(_ text: String) -> HTML { HTML(source: Markup.escape(text)) }

    /// Joins two pieces.
    package static func + (left: HTML, right: HTML) -> HTML { HTML(source: left.source + right.source) }

    /// - Parameter name: of the element; a programmer's constant, as is `class`.
    static func element(_ name: String, class: String = "", _ content: HTML) -> HTML {
        let attribute = `class`.isEmpty ? "" : " class=\"\(`class`)\""
        return HTML(source: "<\(name)\(attribute)>\(content.source)</\(name)>")
    }

    // MARK: Elements

    /// Returns a paragraph of escaped text.
    package static func paragraph(_ text: String) -> HTML { element("p", .text(text)) + newline }

    /// A heading below that of a section.
    package static func heading(_ text: String) -> HTML { element("h3", .text(text)) + newline }

    /// Sentences one below the other.
    /// - Parameter items: each with a few words, set apart, that say what it is about; these may be empty.
    package static func list(_ items: [(topic: String, text: String)]) -> HTML {
        let rows = items.map { item in
            let topic = item.topic.isEmpty ? empty : element("strong", text(item.topic)) + text(" ")
            return element("li", topic + text(item.text)) + newline
        }
        return element("ul", rows.reduce(newline, +)) + newline
    }

    /// Text in a fixed pitch whose line ends stay, wrapped where it is too wide.
    package static func code(_ text: String) -> HTML { element("pre", .text(text)) + newline }

    /// Text in a fixed pitch that continues other text, which is set apart from it.
    package static func continuation(of prompt: String, _ text: String) -> HTML {
        // The first line end after <pre> is not shown; this one is no part of the text.
        element("pre", HTML(source: "\n") + element("b", .text(prompt)) + element("span", .text(text))) + newline
    }

    /// Plots or tables with a caption over them, never parted by a page's end.
    /// - Parameters:
    ///   - title: a few words.
    ///   - caption: what there is to know; may be empty.
    ///   - svg: of a plot.
    package static func figure(_ title: String, caption: String = "", svg: String) -> HTML {
        let caption = caption.isEmpty ? empty : text(" ") + element("span", text(caption))
        return element("figure", element("figcaption", element("strong", text(title)) + caption) + HTML(source: svg))
            + newline
    }

    /// Figures, tables or groups in two columns.
    package static func pairs(_ figures: [HTML]) -> HTML {
        element("div", class: "pairs", figures.reduce(newline, +)) + newline
    }

    /// Pieces that stay together, as one of `pairs`.
    package static func group(_ pieces: [HTML]) -> HTML { element("div", pieces.reduce(newline, +)) + newline }

    static let newline = HTML(source: "\n")
}
