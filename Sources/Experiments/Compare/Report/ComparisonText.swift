import AttentionZooReports

/// The numbers of comparisons as text.
enum ComparisonText {
    static let megabyte = 1048576.0

    static func bits(_ value: Double) -> String { Numbers.text(value, decimals: 3) }

    static func count(_ value: Double) -> String { Numbers.text(value) }

    /// Writes a number of tokens in a second.
    static func speed(_ value: Double) -> String { Numbers.significant(value) }

    static func megabytes(_ value: Double) -> String { Numbers.bytes(value * megabyte) }

    /// Tokens in a sequence: 512, 256k.
    static func length(_ value: Double) -> String { Numbers.binary(value) }

    static func length(_ value: Int) -> String { Numbers.binary(value) }

    /// 97%; with more digits near the ends, where they count: 0.4%, 99.8%, 0.001%.
    static func share(_ value: Double) -> String {
        if value > 0 && value < 0.0005 { return Numbers.significant(value * 100, digits: 1) + "%" }
        // What is not all does not read so.
        if value < 1 && value > 0.999 { return "99.9%" }
        let isWhole = value == 0 || value == 1 || 0.095..<0.985 ~= value
        return Numbers.text(value * 100, decimals: isWhole ? 0 : 1) + "%"
    }

    /// 3.1×, 12×.
    static func times(_ value: Double) -> String { Numbers.significant(value, digits: 2) + "×" }

    /// 850,000; 12.3 M.
    static func tokens(_ value: Double) -> String {
        value < 1e6 ? Numbers.text(value) : Numbers.significant(value / 1e6) + " M"
    }

    /// The same for all: none is tuned.
    static func learningRate(_ rate: Double) -> String {
        "all models with one constant learning rate, \(rate), after a warm-up"
    }
}
