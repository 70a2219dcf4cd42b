import AttentionZooReports
import Trainer

/// A sentence of "which to choose".
struct Choice {
    /// The topic of the choice, with a colon.
    let topic: String
    /// Who, with the numbers that say so.
    let sentence: String
}

// Which model to choose: sentences that follow from the numbers by these rules, so that none can contradict them.
//
// - Models tie with the best of them within 1 % of bits per byte, 5 % of speeds, times and memory, and two standard
//   errors of the difference of shares; all that tie are named, the best first, and then the next.
// - A sentence needs numbers of two models at least; without them it is left out.
// - Naive attention is no choice: it computes what full attention does, and is left out everywhere.

extension ComparisonReport {
    /// The choices of a model for each purpose, one sentence each, from the numbers alone.
    package var choices: [String] { choiceList.map { "\($0.topic) \($0.sentence)" } }

    var choiceSection: ReportSection? {
        let list = choiceList
        guard !list.isEmpty else { return nil }
        return ReportSection(
            title: "Which to choose", pieces: [.list(list.map { ($0.topic, $0.sentence) })])
    }

    private var choiceList: [Choice] {
        [
            fixedTime, fixedTokens, fastestTraining, leastMemory, longGeneration, farRecall, longerThanFull,
            fullAttention,
        ].compactMap { $0 }
    }

    static let (speedTie, bitsTie) = (0.05, 0.01)

    /// Those that can be chosen.
    var candidates: [ComparedModel] { models.filter { $0.id != ComparedModel.naive } }

    var full: ComparedModel? { models.first { $0.id == ComparedModel.full } }

    /// The order of what each model has; nil for fewer than two.
    func ranking(
        _ best: ModelTable.Best, within share: Double, _ value: (ComparedModel) -> Double?
    ) -> Ranking? {
        Ranking(
            candidates.compactMap { model in value(model).map { .init(model: model, value: $0) } }, best,
            tie: .within(share))
    }

    // MARK: Learning

    /// Bits per byte at the time that all have trained for.
    private var fixedTime: Choice? {
        bits(.seconds, topic: "Best for a fixed time:") { "\(ReportText.duration($0)) of training each" }
    }

    /// Bits per byte at the number of tokens that all have seen.
    private var fixedTokens: Choice? {
        bits(.tokens, topic: "Best for a fixed number of tokens:") { "\(ComparisonText.tokens($0)) tokens each" }
    }

    /// Text by text, at what all have reached.
    private func bits(_ course: TextNumbers.Course, topic: String, _ place: (Double) -> String) -> Choice? {
        let found = texts.compactMap { text -> (sentence: String, place: String)? in
            guard let common = text.common(course),
                let ranking = ranking(.least, within: Self.bitsTie, { text.bits($0, course, at: common) })
            else { return nil }
            let sentence = ranking.sentence(unit: " bits per byte", tie: "1%", ComparisonText.bits)
            let missing = text.missing(course, at: common, of: candidates).map(\.name)
            let note = missing.isEmpty ? "" : ", without \(enumeration(missing)) (not validated there)"
            return (sentence + (texts.count > 1 ? " on \(text.title)" : "") + note, ", after \(place(common))")
        }
        guard let last = found.last else { return nil }
        // What is the same for all texts is said once.
        let isSame = found.allSatisfy { $0.place == last.place }
        let parts = found.map { isSame ? $0.sentence : $0.sentence + $0.place }
        return Choice(topic: topic, sentence: parts.joined(separator: "; ") + (isSame ? last.place : "") + ".")
    }

    // MARK: Training

    /// Tokens in a second: of the text, or at the shortest sequence of the scale.
    private var fastestTraining: Choice? {
        let (texts, scale) = (texts, scaleNumbers)
        func sentence(_ ranking: Ranking, _ length: Int) -> Choice {
            Choice(
                topic: "Fastest training:",
                sentence: ranking.sentence(unit: " tokens/s", tie: "5%", ComparisonText.speed)
                    + ", in sequences of \(Numbers.text(length)) tokens.")
        }
        if let ranking = ranking(.greatest, within: Self.speedTie, { Self.trainingSpeed($0, texts) }) {
            return sentence(ranking, results.options.text.sequenceLength)
        }
        guard let shortest = scale.common(.training, candidates).first,
            let ranking = ranking(
                .greatest, within: Self.speedTie, { scale.value(.training, $0, shortest).map { 1 / $0 } })
        else { return nil }
        return sentence(ranking, shortest)
    }

    /// Memory of training: of the text's batches, and of the longest sequence that all were trained on.
    private var leastMemory: Choice? {
        let (texts, scale) = (texts, scaleNumbers)
        func part(_ ranking: Ranking?, _ place: String) -> String? {
            ranking.map {
                $0.sentence(unit: "", tie: "5%", ComparisonText.megabytes) + ", " + place
            }
        }
        let options = results.options.text
        let batches = "in batches of \(options.batchSize) × \(Numbers.text(options.sequenceLength)) tokens"
        let longest = scale.common(.peak, candidates).last
        let parts = [
            part(ranking(.least, within: Self.speedTie) { Self.trainingMemory($0, texts) }, batches),
            longest.flatMap { length in
                part(
                    ranking(.least, within: Self.speedTie) { scale.value(.peak, $0, length) },
                    "in one sequence of \(ComparisonText.length(length)) tokens")
            },
        ].compactMap { $0 }
        return parts.isEmpty
            ? nil : Choice(topic: "Least memory in training:", sentence: parts.joined(separator: "; ") + ".")
    }
}
