/// Models in the order of a number, the best first, and which of them are as good as the best.
struct Ranking {
    struct Entry {
        let model: ComparedModel
        let value: Double
        /// The squared error of the value; 0 where it is exact.
        var variance = 0.0
    }

    enum Tie {
        /// Within a share of the best value.
        case within(Double)
        /// Within so many standard errors of the difference.
        case standardErrors(Double)
    }

    /// The best, and those that tie with it.
    let leaders: [Entry]
    /// The others.
    let rest: [Entry]

    /// - Returns: nil for fewer than two, which cannot be compared.
    init?(_ entries: [Entry], _ best: ModelTable.Best, tie: Tie) {
        let sorted = entries.filter(\.value.isFinite).enumerated().sorted { one, other in
            let (a, b) = best == .least ? (one.element, other.element) : (other.element, one.element)
            // Equals stay in the order of the report.
            return a.value == b.value ? one.offset < other.offset : a.value < b.value
        }.map(\.element)
        guard sorted.count > 1 else { return nil }
        let first = sorted[0]
        func ties(_ entry: Entry) -> Bool {
            let difference = abs(entry.value - first.value)
            return switch tie {
            case .within(let share): difference <= share * abs(first.value)
            case .standardErrors(let count): difference <= count * (entry.variance + first.variance).squareRoot()
            }
        }
        (leaders, rest) = (sorted.filter(ties), sorted.filter { !ties($0) })
    }

    /// Names the best with its number, and the next: A with 1.83 bits per byte, ahead of B with 1.95.
    /// - Parameters:
    ///   - unit: with a space before it, or empty.
    ///   - tie: says how near a tie is.
    func sentence(unit: String, tie: String, _ text: (Double) -> String) -> String {
        if rest.isEmpty, leaders.count > 2, let first = leaders.first, let last = leaders.last {
            // Named, as those without a number are not among them.
            return "\(enumeration(leaders.map(\.model.name))) are within \(tie), from \(text(first.value))\(unit) to "
                + text(last.value)
        }
        let names = leaders.enumerated().map { index, entry in
            "\(entry.model.name) with \(text(entry.value))" + (index == 0 ? unit : "")
        }
        let isTie = leaders.count > 1
        let next = rest.first.map { ", ahead of \($0.model.name) with \(text($0.value))" } ?? ""
        return enumeration(names) + (isTie ? " (a tie: within \(tie))" : "") + next
    }
}
