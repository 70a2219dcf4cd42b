import Foundation

/// The format of the numbers at an axis.
package enum TickFormat: Sendable {
    /// 0.25, 1,000, 3×10⁻⁴.
    case automatic
    /// As `automatic` below 10,000, then 20k, 1.5M, 3G.
    case compact
    /// Shares: 0.25 is 25%.
    case percent
    /// Lengths that are powers of two: 512, 1k, 256k, with k for 1,024. A logarithmic axis is marked at such powers.
    case binary
    /// Bytes: 64 MB, 1 GB, of 1,024 each. A logarithmic axis is marked at powers of two.
    case bytes
    /// Seconds: 10 µs, 1 ms.
    case seconds
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

    /// Powers of ten, with twice and five times them where there are few, or round linear ticks within a narrow range;
    /// of formats for powers of two, those.
    /// - Parameter domain: above 0.
    init(logarithmic domain: ClosedRange<Double>, count: Int, format: TickFormat) {
        if format == .binary || format == .bytes {
            let powers = Self.powersOfTwo(in: domain, count: count)
            if powers.count >= 2 {
                values = powers
                labels = Self.labels(of: powers, step: 1, format)
                return
            }
        }
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

    /// Every power of two, every second or third, so that there are no more than `count`.
    private static func powersOfTwo(in domain: ClosedRange<Double>, count: Int) -> [Double] {
        let first = Int((log2(domain.lowerBound) - 1e-9).rounded(.up))
        let last = Int((log2(domain.upperBound) + 1e-9).rounded(.down))
        guard first <= last else { return [] }
        let every = (last - first + max(count, 1)) / max(count, 1)
        // 1, 4, 16 … rather than 2, 8, 32, so that units are among them.
        let start = every == 1 ? first : first + (every - first % every) % every
        return stride(from: start, through: last, by: every).map { pow(2, Double($0)) }
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
        case .binary: return values.map(Numbers.binary)
        case .bytes: return values.map { quantity($0, ByteUnit.fitting($0)) }
        case .seconds: return values.map { quantity($0, TimeUnit.fitting($0)) }
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

    private static func quantity(_ value: Double, _ unit: (name: String, size: Double)) -> String {
        value == 0 ? "0" : Numbers.round(Numbers.significant(value / unit.size, digits: 4)) + " " + unit.name
    }

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
