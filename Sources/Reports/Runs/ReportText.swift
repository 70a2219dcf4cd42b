import Foundation
import NN
import Tensors
import Trainer

/// The numbers, durations, keys and commands of reports as text.
package enum ReportText {
    /// 1.5321 bits; a dash for what is missing.
    static func bits(_ value: Double?) -> String { value.map { Numbers.text($0, decimals: 4) } ?? "–" }

    static func percent(_ share: Double) -> String { Numbers.text(share * 100, decimals: 1) + "%" }

    /// 0.8 s, 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h.
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e12 else { return "–" }
        if seconds < 9.95 { return Numbers.text(seconds, decimals: 1) + " s" }
        let whole = Int(seconds.rounded())
        let units = [(86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")]
        guard let (size, name, restSize, restName) = units.first(where: { whole >= $0.0 }) else { return "\(whole) s" }
        let rest = whole % size / restSize
        return "\(whole / size) \(name)" + (rest > 0 ? " \(rest) \(restName)" : "")
    }

    /// The unit in which so many seconds are shown on an axis, and how long it is.
    static func timeUnit(_ seconds: Double) -> (name: String, seconds: Double) {
        switch seconds {
        case ..<180: ("seconds", 1)
        case ..<10_800: ("minutes", 60)
        case ..<259_200: ("hours", 3600)
        default: ("days", 86_400)
        }
    }

    /// A key of the metrics as words.
    static func words(_ key: String) -> String {
        let words = key.split(separator: "_").joined(separator: " ")
        return words.prefix(1).uppercased() + words.dropFirst()
    }

    /// The members of an object one by one, those of objects in it by keys with points: `optimizer.name`.
    static func flat(_ json: JSONValue, prefix: String = "") -> [(key: String, value: String)] {
        guard case .object(let members) = json else { return [(prefix, text(json))] }
        return members.sorted { $0.key < $1.key }
            .flatMap { flat($0.value, prefix: prefix.isEmpty ? $0.key : prefix + "." + $0.key) }
    }

    private static func text(_ json: JSONValue) -> String {
        switch json {
        case .string(let text): text
        case .array(let values): values.isEmpty ? "–" : values.map(text).joined(separator: ", ")
        case .null: "–"
        default: json.description
        }
    }
}
