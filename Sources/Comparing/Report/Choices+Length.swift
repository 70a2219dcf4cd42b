import AttentionZooReports
import Foundation

// Which model to choose for long texts; the rules' beginning is in Choices.swift.

extension ComparisonReport {
    // MARK: Generation

    /// Up to so many times the time of the shortest text, the time of a token counts as the same: noise of short times
    /// is below that, and growth over lengths that differ by far more is above.
    private static let steadyGrowth = 1.25

    /// The time of a token after the longest text after which two models were measured, and whose time grows with the
    /// text.
    var longGeneration: Choice? {
        let scale = scaleNumbers
        let measured = candidates.filter { !scale.lengths(.generation, $0).isEmpty }
        guard
            let length = scale.lengths.last(where: { length in
                measured.count { scale.value(.generation, $0, length) != nil } > 1
            }),
            let ranking = ranking(.least, within: Self.speedTie, { scale.value(.generation, $0, length) })
        else { return nil }
        // Each compared with itself, after the shortest text that it was measured with.
        let growths = measured.compactMap { model -> (name: String, growth: Double, first: Int, last: Int)? in
            let lengths = scale.lengths(.generation, model)
            guard lengths.count > 1, let first = scale.value(.generation, model, lengths[0]),
                let last = scale.value(.generation, model, lengths.last!)
            else { return nil }
            return (model.name, last / first, lengths[0], lengths.last!)
        }
        let steady = growths.filter { $0.growth <= Self.steadyGrowth }
        let growing = growths.filter { $0.growth > Self.steadyGrowth }
        let least = growths.map(\.first).min() ?? 0
        /// Said where it is not what most have.
        func beginning(_ first: Int) -> String { first == least ? "" : "from \(ComparisonText.length(first)) " }
        var sentences = [
            ranking.sentence(unit: " a token", tie: "5%", Numbers.seconds)
                + ", after a text of \(ComparisonText.length(length)) tokens."
        ]
        if !steady.isEmpty {
            sentences.append(
                "From \(ComparisonText.length(least)) tokens on, the time of a token grows by no more than 25% with "
                    + enumeration(
                        steady.map {
                            $0.name + (beginning($0.first).isEmpty ? "" : " (\(beginning($0.first))on)")
                        }) + ".")
        }
        if !growing.isEmpty {
            let names = growing.map {
                "\($0.name) (\(ComparisonText.times($0.growth)) "
                    + (beginning($0.first).isEmpty ? "at " : beginning($0.first) + "to ")
                    + "\(ComparisonText.length($0.last)))"
            }
            sentences.append("It grows with the text with " + enumeration(names) + ".")
        }
        return Choice(topic: "Long generation:", sentence: sentences.joined(separator: " "))
    }

    // MARK: Recall

    /// The share of what stands farther back than a model with a window sees: the mean over the tasks that ask for it,
    /// of the models that were asked in all of them.
    var farRecall: Choice? {
        let far = tasks.compactMap { task in task.reach.map { (task: task, reach: $0) } }
            .filter { far in candidates.contains { far.task.answers($0, beyond: far.reach) != nil } }
        let entries = candidates.compactMap { model -> Ranking.Entry? in
            let answers = far.compactMap { $0.task.answers(model, beyond: $0.reach) }
            guard !far.isEmpty, answers.count == far.count else { return nil }
            let count = Double(answers.count)
            return .init(
                model: model, value: answers.map(\.share).reduce(0, +) / count,
                variance: answers.map(\.variance).reduce(0, +) / (count * count))
        }
        guard let ranking = Ranking(entries, .greatest, tie: .standardErrors(2)) else { return nil }
        let names = enumeration(far.map(\.task.task.shortTitle))
        let reaches = Set(far.map(\.reach)).sorted().map { Numbers.text($0) }.joined(separator: " or ")
        let place = "of what is asked from more than \(reaches) tokens back (\(names))"
        let isFound = far.contains { far in
            ranking.leaders.contains { leader in
                far.task.answers(leader.model, beyond: far.reach).map {
                    far.task.areAboveGuess($0, chance: far.task.chance(beyond: far.reach))
                } ?? false
            }
        }
        let topic = "Finding again what stands far back:"
        guard isFound else { return Choice(topic: topic, sentence: "none finds more than a guess does, \(place).") }
        let limited = candidates.filter { model in far.contains { $0.task[model]?.reach != nil } }
        let blind = entries.filter { limited.contains($0.model) }.map {
            "\($0.model.name), which sees no farther, \(ComparisonText.share($0.value))"
        }
        return Choice(
            topic: topic,
            sentence: ranking.sentence(unit: "", tie: "two standard errors", ComparisonText.share)
                + ", " + place
                + (blind.isEmpty ? "." : "; \(enumeration(blind))."))
    }

    // MARK: Full attention

    /// The models that read longer than full attention, and which of them trains fastest at the longest sequence.
    var longerThanFull: Choice? {
        let scale = scaleNumbers
        // Where it has not stopped it has only not been measured any further yet.
        guard let full, let end = scale.longest(full), let stop = scale.stop(full) else { return nil }
        let beyond = candidates.filter { $0 != full && scale.longest($0) ?? 0 > end }
        guard !beyond.isEmpty, let longest = beyond.compactMap({ scale.longest($0) }).max() else { return nil }
        let names = beyond.map { "\($0.name) (\(ComparisonText.length(scale.longest($0)!)))" }
        let times = beyond.compactMap { model in
            scale.value(.training, model, longest).map { Ranking.Entry(model: model, value: $0) }
        }
        let fastest: String? =
            if let ranking = Ranking(times, .least, tie: .within(Self.speedTie)) {
                ranking.sentence(unit: " a token", tie: "5%", Numbers.seconds)
            } else {
                times.first.map { "\($0.model.name) with \(Numbers.seconds($0.value)) a token" }
            }
        return Choice(
            topic: "Longer than full attention can take:",
            sentence:
                "\(full.name) ends at \(ComparisonText.length(end)) tokens (\(stop.reason)); \(enumeration(names)) "
                + (beyond.count == 1 ? "goes on." : "go on.")
                + (fastest.map { " Fastest in training at \(ComparisonText.length(longest)): \($0)." } ?? ""))
    }

    /// Up to which length full attention trains as fast as any, and whether it learns as well.
    var fullAttention: Choice? {
        guard let full else { return nil }
        let scale = scaleNumbers
        /// Full attention's time, and the fastest other's.
        func times(_ length: Int) -> (own: Double, model: ComparedModel, other: Double)? {
            let others = candidates.filter { $0 != full }.compactMap { model in
                scale.value(.training, model, length).map { (model, $0) }
            }
            guard let own = scale.value(.training, full, length), let best = others.min(by: { $0.1 < $1.1 }) else {
                return nil
            }
            return (own, best.0, best.1)
        }
        let lengths = scale.lengths.filter { times($0) != nil }
        guard let shortest = lengths.first else { return nil }
        /// The first at which another one is faster.
        let slower = lengths.first { times($0)!.own > times($0)!.other * (1 + Self.speedTie) }
        func loss(_ length: Int) -> String {
            let found = times(length)!
            return "at \(ComparisonText.length(length)) \(found.model.name) trains "
                + "\(ComparisonText.times(found.own / found.other)) as fast (\(Numbers.seconds(found.other)) against "
                + "\(Numbers.seconds(found.own)) a token)"
        }
        var sentence: String
        if let last = lengths.last(where: { $0 < slower ?? .max }) {
            let found = times(last)!
            sentence =
                "up to \(ComparisonText.length(last)) tokens it trains as fast as any, within 5% "
                + "(\(Numbers.seconds(found.own)) a token; \(found.model.name): \(Numbers.seconds(found.other)))"
                + (slower.map { "; " + loss($0) } ?? "")
        } else {
            sentence = "not for speed: already " + loss(shortest)
        }
        sentence += quality(of: full).map { "; " + $0 } ?? ""
        return Choice(topic: "When full attention is still the best:", sentence: sentence + ".")
    }

    /// Describes how full attention learns from the same number of tokens, text by text.
    private func quality(of full: ComparedModel) -> String? {
        let parts = texts.compactMap { text -> String? in
            guard let own = text.bitsAtCommon(full, .tokens),
                let ranking = ranking(.least, within: Self.bitsTie, { text.bitsAtCommon($0, .tokens) })
            else { return nil }
            let missing = text.common(.tokens).map { text.missing(.tokens, at: $0, of: candidates).map(\.name) } ?? []
            let note = missing.isEmpty ? "" : " (\(enumeration(missing)) did not come so far)"
            let place = texts.count > 1 ? " of \(text.title)" : ""
            let best = ranking.leaders[0]
            if best.model == full {
                let isAlone = ranking.leaders.count == 1
                return "from the same tokens\(place) " + (isAlone ? "it learns most" : "no other learns better") + note
            }
            let isTie = ranking.leaders.contains { $0.model == full }
            return "from the same tokens\(place) it learns " + (isTie ? "as well as the best, within 1%" : "less")
                + " (\(ComparisonText.bits(own - best.value)) bits per byte behind \(best.model.name))" + note
        }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }
}
