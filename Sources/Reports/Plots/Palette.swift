/// Colors and dashes that tell series apart, for the color-blind and in black and white as well.
enum Palette {
    /// Okabe and Ito's palette (Color Universal Design, 2008) without its yellow, which cannot be seen on white; its black
    /// is the color of the page's text.
    static let colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "currentColor"]

    /// `stroke-dasharray`; the first is a solid line.
    static let dashes = ["", "7 3", "2 2.5", "9 3 2 3", "14 4", "5 2 1.5 2 1.5 2", "1 4"]

    static func color(_ index: Int) -> String { colors[index % colors.count] }

    /// Shifted from one round of colors to the next, so that no two of 49 series look the same.
    static func dash(_ index: Int) -> String { dashes[(index + index / colors.count) % dashes.count] }
}
