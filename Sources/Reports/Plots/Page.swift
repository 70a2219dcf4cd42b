/// A page of HTML in one piece: it refers to nothing outside and runs no script.
package struct Page: Sendable {
    /// The title.
    package var title: String
    /// A line below the title.
    package var subtitle: String
    /// The sections, in order.
    package private(set) var sections: [(title: String, content: HTML)] = []

    /// Creates a page without sections.
    package init(_ title: String, subtitle: String = "") {
        self.title = title
        self.subtitle = subtitle
    }

    /// Appends a section.
    /// - Parameter title: empty for none.
    package mutating func add(_ title: String, _ content: HTML) { sections.append((title, content)) }

    /// The whole document.
    package var html: String {
        let head =
            "<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
            // Whatever might slip through: browsers are told to load and run nothing.
            + "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
            + "\n<title>\(Markup.escape(title))</title>\n<style>\n\(Self.style)\n</style>\n"
        let subtitle = subtitle.isEmpty ? HTML.empty : .element("p", class: "subtitle", .text(subtitle))
        let header = HTML.element("header", .element("h1", .text(title)) + subtitle) + .newline
        let body = sections.reduce(header) { html, section in
            let heading = section.title.isEmpty ? HTML.empty : .element("h2", .text(section.title)) + .newline
            return html + .element("section", heading + section.content) + .newline
        }
        return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n\(head)</head>\n<body>\n\(body.source)</body>\n</html>\n"
    }

    /// Sober on the screen, light on paper.
    private static let style = """
        :root { color-scheme: light dark; --text: #1c1e21; --soft: #5a6068; --line: #d9dce0; --back: #ffffff;
          --tint: #f5f6f8 }
        @media screen and (prefers-color-scheme: dark) {
          :root { --text: #e3e5e8; --soft: #a2a8b0; --line: #3a3f46; --back: #17191c; --tint: #202327 } }
        html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
        body { margin: 2.5rem auto 4rem; max-width: 56rem; padding: 0 1.25rem; color: var(--text);
          background: var(--back); font: 15px/1.5 Helvetica, Arial, 'Liberation Sans', sans-serif }
        h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere }
        .subtitle { margin: .35rem 0 0; color: var(--soft); overflow-wrap: anywhere }
        h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line) }
        h3 { font-size: .95rem; margin: 1.25rem 0 .35rem }
        p { margin: .5rem 0; max-width: 46rem }
        figure { margin: 1rem 0 1.5rem }
        figcaption { margin-bottom: .6rem; font-size: .87rem; color: var(--soft) }
        figcaption strong { color: var(--text); font-size: .95rem; margin-right: .35rem }
        figure svg { display: block; width: 100%; height: auto }
        .pairs { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 2.25rem }
        .table { overflow-x: auto }
        table { border-collapse: collapse; font-size: .9rem }
        th, td { padding: .28rem 1.1rem .28rem 0; text-align: left; vertical-align: baseline; font-weight: normal;
          border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
        tbody th { color: var(--soft); white-space: nowrap }
        thead th { font-weight: bold; vertical-align: bottom }
        .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
        thead .number { white-space: normal; overflow-wrap: normal }
        .wide th, .wide td { padding-right: .75rem }
        .wide tbody th { white-space: normal; overflow-wrap: normal; min-width: 7.5rem }
        .table + .table { margin-top: 1.25rem }
        ul { margin: .5rem 0; padding-left: 1.1rem; max-width: 46rem }
        li { margin: .3rem 0 }
        pre { margin: .35rem 0 1rem; padding: .7rem .9rem; background: var(--tint); border-radius: 4px;
          font: .82rem/1.5 Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace;
          white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4 }
        pre b { color: var(--soft); font-weight: normal; text-decoration: underline; text-decoration-thickness: 1px;
          text-underline-offset: .2em; text-decoration-color: var(--line) }
        @media (max-width: 40rem) { .pairs { grid-template-columns: minmax(0, 1fr) } }
        @media print {
          @page { margin: 16mm 15mm }
          body { margin: 0; padding: 0; max-width: none; font-size: 10pt; background: #ffffff; color: #000000 }
          figure, .table, tr, li, p, pre, .pairs > * { break-inside: avoid }
          h2, h3, h2 + p { break-after: avoid }
          pre { background: none; border: 1px solid var(--line) }
          .pairs { grid-template-columns: repeat(2, minmax(0, 1fr)) }
          .table { overflow: visible } }
        """
}
