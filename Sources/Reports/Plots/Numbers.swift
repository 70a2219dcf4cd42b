import Foundation

/// Numbers for people.
package enum Numbers {
    /// With a fixed number of digits after the point and commas between thousands: 12,345.60. A minus sign is U+2212.
    package static func text(_ value: Double, decimals: Int = 0) -> String {
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

    /// Writes a whole number as the form with fractions does.
    package static func text(_ value: Int) -> String { text(Double(value)) }

    /// With so many digits that count, and all of those before the point: 0.0123, 1.23, 12.3, 12,345.
    package static func significant(_ value: Double, digits: Int = 3) -> String {
        guard value.isFinite, value != 0 else { return text(value) }
        func decimals(_ value: Double) -> Int { min(max(digits - 1 - Int(log10(abs(value)).rounded(.down)), 0), 15) }
        // Rounding may give one digit more before the point: 9.996 is 10.0, not 10.00.
        let unit = pow(10, Double(decimals(value)))
        let rounded = (value * unit).rounded() / unit
        return text(value, decimals: rounded == 0 ? 15 : min(decimals(value), decimals(rounded)))
    }

    /// 0.85 µs, 12.3 ms, 4.56 s.
    package static func seconds(_ value: Double) -> String { quantity(value, TimeUnit.fitting(value)) }

    /// 512 B, 12.3 kB, 4.56 GB, of 1,024 each.
    package static func bytes(_ value: Double) -> String { quantity(value, ByteUnit.fitting(value)) }

    private static func quantity(_ value: Double, _ unit: (name: String, size: Double)) -> String {
        value.isFinite ? significant(value / unit.size) + " " + unit.name : text(value)
    }

    /// 512, 1k, 2k, 256k, 1M: k for 1,024.
    package static func binary(_ value: Double) -> String {
        let (size, letter) = [(1048576.0, "M"), (1024, "k")].first { value >= $0.0 } ?? (1, "")
        return round(significant(value / size)) + letter
    }

    /// Writes a whole number as the form with fractions does.
    package static func binary(_ value: Int) -> String { binary(Double(value)) }

    /// A number, with a unit or without, without zeros at the end of its decimals: 8 GB for 8.00 GB.
    package static func round(_ text: String) -> String {
        guard text.contains(".") else { return text }
        let end = text.firstIndex(of: " ") ?? text.endIndex
        var number = text[..<end]
        while number.last == "0" { number.removeLast() }
        return String(number.last == "." ? number.dropLast() : number) + text[end...]
    }
}

/// Units of time.
package enum TimeUnit {
    /// The one in which so many seconds are a number between 1 and 1,000, as far as there is one.
    package static func fitting(_ seconds: Double) -> (name: String, size: Double) {
        // A hair below a unit is rounded up to it.
        [("s", 1), ("ms", 1e-3), ("µs", 1e-6)].first { abs(seconds) >= $0.1 * 0.9995 } ?? ("ns", 1e-9)
    }
}

/// Units of memory, of 1,024 each.
package enum ByteUnit {
    /// The one in which so many bytes are a number between 1 and 1,024, as far as there is one.
    package static func fitting(_ bytes: Double) -> (name: String, size: Double) {
        let units = [("TB", 1099511627776.0), ("GB", 1_073_741_824), ("MB", 1_048_576), ("kB", 1024)]
        return units.first { abs(bytes) >= $0.1 * 0.9995 } ?? ("B", 1)
    }
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
