import Foundation

/// How the numbers of an axis are written.
public enum TickFormat: Sendable {
    /// 0.25, 1,000, 3×10⁻⁴.
    case automatic
    /// As `automatic` below 10,000, then 20k, 1.5M, 3G.
    case compact
    /// Of shares: 0.25 is 25%.
    case percent
}

/// The values an axis is marked at, with their labels.
struct Ticks: Equatable {
    let values: [Double]
    let labels: [String]

    /// Multiples of 1, 2 or 5 times a power of ten.
    /// - Parameter count: about how many there should be; there are at most a quarter more, and one.
    init(linear domain: ClosedRange<Double>, count: Int, format: TickFormat) {
        let step = Self.roundStep((domain.upperBound - domain.lowerBound) / Double(max(count, 1)))
        // A tick that rounding puts a hair outside still counts.
        let first = (domain.lowerBound / step - 1e-9).rounded(.up)
        let last = (domain.upperBound / step + 1e-9).rounded(.down)
        values = first <= last ? Array(stride(from: first, through: last, by: 1)).map { $0 * step } : []
        labels = Self.labels(of: values, step: step, format)
    }

    /// Powers of ten, with twice and five times them where there are few, or round linear ticks within a narrow range.
    /// - Parameter domain: above 0.
    init(logarithmic domain: ClosedRange<Double>, count: Int, format: TickFormat) {
        let decades = Self.ticks(in: domain, factors: [1])
        let found: [Double] =
            if decades.count > count {
                Self.ticks(in: domain, factors: [1], every: (decades.count + count - 1) / max(count, 1))
            } else if decades.count >= 3 {
                decades
            } else {
                Self.ticks(in: domain, factors: [1, 2, 5])
            }
        guard found.count >= 3 else {
            self = Ticks(linear: domain, count: count, format: format)
            return
        }
        values = found
        labels = found.map { Self.labels(of: [$0], step: $0, format)[0] }
    }

    /// Multiples of powers of ten.
    /// - Parameter every: takes only every so many powers.
    private static func ticks(in domain: ClosedRange<Double>, factors: [Double], every: Int = 1) -> [Double] {
        let first = Int(log10(domain.lowerBound).rounded(.down))
        let last = Int(log10(domain.upperBound).rounded(.up))
        let (least, greatest) = (domain.lowerBound * (1 - 1e-9), domain.upperBound * (1 + 1e-9))
        var ticks: [Double] = []
        for power in stride(from: first, through: last, by: every) {
            let unit = pow(10, Double(power))
            ticks += factors.map { $0 * unit }.filter { $0 >= least && $0 <= greatest }
        }
        return ticks
    }

    private static func roundStep(_ wanted: Double) -> Double {
        let power = pow(10, log10(wanted).rounded(.down))
        let factor = [1, 2, 5, 10].first { $0 * power >= wanted * 0.8 } ?? 10
        return factor * power
    }

    // MARK: Labels

    private static func labels(of values: [Double], step: Double, _ format: TickFormat) -> [String] {
        let greatest = values.map(abs).max() ?? 0
        switch format {
        case .percent: return values.map { fixed($0 * 100, decimals(step * 100)) + "%" }
        case .compact where greatest >= 9999.5:
            let (unit, letter) = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")].first { greatest >= $0.0 * 0.9999 }!
            return values.map { $0 == 0 ? "0" : fixed($0 / unit, decimals(step / unit)) + letter }
        case _ where greatest >= 1e6 || greatest > 0 && greatest < 0.99e-3:
            let exponent = Int((log10(greatest) + 1e-9).rounded(.down))
            let unit = pow(10, Double(exponent))
            return values.map { scientific($0 / unit, decimals(step / unit), exponent) }
        default: return values.map { fixed($0, decimals(step)) }
        }
    }

    /// Digits after the point that tell multiples of `step` apart.
    private static func decimals(_ step: Double) -> Int { min(max(0, -Int((log10(step) + 1e-9).rounded(.down))), 15) }

    private static func scientific(_ mantissa: Double, _ decimals: Int, _ exponent: Int) -> String {
        if mantissa == 0 { return "0" }
        let power = "10" + String("\(exponent)".map { Self.superscripts[$0] ?? $0 })
        let digits = fixed(mantissa, decimals)
        return digits == "1" ? power : digits + "×" + power
    }

    private static let superscripts: [Character: Character] = [
        "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
    ]

    private static func fixed(_ value: Double, _ decimals: Int) -> String {
        Numbers.text(value == 0 ? 0 : value, decimals: decimals)
    }
}

/// Numbers for people.
public enum Numbers {
    /// With a fixed number of digits after the point and commas between thousands: 12,345.60. A minus sign is U+2212.
    public static func text(_ value: Double, decimals: Int = 0) -> String {
        guard value.isFinite else { return value.isNaN ? "–" : value < 0 ? "−∞" : "∞" }
        let plain = String(format: "%.\(decimals)f", abs(value))
        let parts = plain.split(separator: ".")
        var whole = ""
        for (index, digit) in parts[0].enumerated() {
            if index > 0 && (parts[0].count - index) % 3 == 0 { whole.append(",") }
            whole.append(digit)
        }
        let isZero = !plain.contains { $0 != "0" && $0 != "." }
        return (value < 0 && !isZero ? "−" : "") + whole + (parts.count > 1 ? "." + parts[1] : "")
    }

    public static func text(_ value: Int) -> String { text(Double(value)) }
}

extension Numbers {
    /// With about five digits that count: for tooltips.
    static func short(_ value: Double) -> String {
        guard value.isFinite else { return text(value) }
        if value == value.rounded() && abs(value) < 1e15 { return text(value) }
        let digits = 4 - Int(log10(abs(value)).rounded(.down))
        return digits > 10 ? String(format: "%.4g", value) : text(value, decimals: max(digits, 0))
    }
}
