/// Colours and dashes that tell series apart, for the colour-blind and in black and white as well.
enum Palette {
    /// Okabe and Ito's palette (Color Universal Design, 2008) without its yellow, which cannot be seen on white; its black
    /// is the colour of the page's text.
    static let colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "currentColor"]

    /// `stroke-dasharray`; the first is a solid line.
    static let dashes = ["", "7 3", "2 2.5", "9 3 2 3", "14 4", "5 2 1.5 2 1.5 2", "1 4"]

    static func colour(_ index: Int) -> String { colours[index % colours.count] }

    /// Shifted from one round of colours to the next, so that no two of 49 series look the same.
    static func dash(_ index: Int) -> String { dashes[(index + index / colours.count) % dashes.count] }
}
