import NN
import Tensors

/// A batch of texts and the same with one token changed in each row.
struct CausalityProbe<Model: LanguageModel> {
    let model: Model
    let mode: ForwardMode
    /// The unchanged texts, [b, n].
    let tokens: TokenTensor
    /// The same with a token of each row changed, [b, n].
    let changed: TokenTensor
    /// The place of that token by row.
    let places: [Int]

    /// - Parameters:
    ///   - rows: which of the text's changes: each has a row, and a part of the length to itself.
    ///   - key: draws texts, places and new tokens.
    init(_ model: Model, _ check: CausalityCheck, rows: Range<Int>, key: RandomKey) {
        self.model = model
        mode = ForwardMode.inference.using(check.implementation)
        let n = check.length
        // At most half is source where there is one, and at least a token comes after the first of the answer.
        let start = model.startToken.map { _ in min(n / 2, model.maximumSourceLength ?? n) }
        let free = (start.map { $0 + 1 } ?? 0) + 1..<n
        var values: [Int32] = []
        var others: [Int32] = []
        var places: [Int] = []
        for row in rows {
            let numbers = key.child(row).integers(n + 2)
            var text = numbers[..<n].map { Self.token($0, model) }
            if let start { text[start] = model.startToken! }
            let part = (free.count * row / check.changes)..<max(1, free.count * (row + 1) / check.changes)
            let place =
                free.lowerBound
                + min(part.lowerBound + Int(numbers[n] % UInt64(max(1, part.count))), free.count - 1)
            values += text
            text[place] = Self.token(numbers[n + 1], model, otherThan: text[place])
            others += text
            places.append(place)
        }
        tokens = TokenTensor(values, shape: [rows.count, n])
        changed = TokenTensor(others, shape: [rows.count, n])
        self.places = places
    }

    /// Returns a token that is neither the start token nor `other`, where the vocabulary has one.
    private static func token(_ number: UInt64, _ model: Model, otherThan other: Int32? = nil) -> Int32 {
        let excluded = Set([model.startToken, other].compactMap { $0 }).filter { $0 < model.vocabularySize }.sorted()
        let count = model.vocabularySize - excluded.count
        guard count > 0 else { return 0 }
        return excluded.reduce(Int32(number % UInt64(count))) { $1 <= $0 ? $0 + 1 : $0 }
    }

    /// Compares the two batches before the changed tokens.
    /// - Throws: `InputError` where logits are not finite.
    func add(to findings: inout CausalityFindings) throws {
        let (before, after) = (logits(tokens), logits(changed))
        let values = before.values
        let largest = values.reduce(0) { max($0, $1.magnitude) }
        guard values.allSatisfy(\.isFinite), after.values.allSatisfy(\.isFinite) else {
            let culprit = model.firstWeightNotFinite.map { "the weights' \($0)" } ?? "all weights are finite"
            throw InputError("the model's logits are not finite; \(culprit)")
        }
        let size = Double(max(largest, .leastNormalMagnitude))
        let allowance = max(CausalityCheck.leastAllowance, CausalityCheck.timesRounding * rounding(before) / size)
        findings.allowance = max(findings.allowance, allowance)
        for (row, place) in places.enumerated() {
            let differences = differences(before.at(0, row), after.at(0, row), before: place).map { $0 / size }
            let greatest = differences.max() ?? 0
            findings.changes += 1
            findings.difference = max(findings.difference, greatest)
            guard let seen = differences.firstIndex(where: { $0 > allowance }) else { continue }
            findings.leaks += 1
            // A layer may show the leak of one change and not of another: a row of one slot has the weight 1 whatever it holds.
            let isNamed = findings.first.map { $0.layer != nil || $0.lastRecorded == nil } ?? false
            guard !isNamed else { continue }
            let layers = layers(row)
            guard findings.first == nil || layers.leaking != nil else { continue }
            findings.first = CausalityFindings.Leak(
                changed: place, seen: seen, difference: greatest, layer: layers.leaking, lastRecorded: layers.last)
        }
    }

    private func logits(_ tokens: TokenTensor) -> Tensor { withoutGradients { model(tokens, mode: mode) } }

    /// The greatest difference of the first row's logits between batches of two shapes. logits: [b, n, vocabulary]
    private func rounding(_ logits: Tensor) -> Double {
        let row = Array(tokens.values[..<tokens.shape[1]])
        let copies = tokens.shape[0] == 1 ? 2 : 1
        let batch = TokenTensor(Array((0..<copies).map { _ in row }.joined()), shape: [copies, row.count])
        let other = self.logits(batch)
        return differences(logits.at(0, 0), other.at(0, 0), before: row.count).max() ?? 0
    }

    /// The greatest difference at each position before a place. x, y: [n, columns]
    private func differences(_ x: Tensor, _ y: Tensor, before place: Int) -> [Double] {
        let columns = x.shape[1]
        let (x, y) = (x.values, y.values)
        return (0..<place).map { position in
            (position * columns..<(position + 1) * columns).reduce(0) { max($0, Double((x[$1] - y[$1]).magnitude)) }
        }
    }
}

extension CausalityProbe {
    /// Returns the first layer whose weights of attention differ in the rows of tokens before the changed one, in the order in
    /// which the model computed them, and the last layer there is.
    private func layers(_ row: Int) -> (leaking: String?, last: String?) {
        let (before, after) = (recorded(tokens, row), recorded(changed, row))
        // Initial weights of attention differ by little, so rounding alone is allowed for: what another batch makes.
        let again = recorded(tokens, row, copies: 2)
        let leaking = before.indices.first { layer in
            guard layer < min(after.count, again.count) else { return false }
            let weights = before[layer].weights
            let rounding = difference(weights, again[layer].weights, row)
            return difference(weights, after[layer].weights, row) > CausalityCheck.timesRounding * rounding
        }
        return (leaking.map { before[$0].name }, before.last?.name)
    }

    /// The weights of attention that the model records of a row, read so many times at once.
    private func recorded(_ tokens: TokenTensor, _ row: Int, copies: Int = 1) -> [AttentionRecorder.Layer] {
        let n = tokens.shape[1]
        let recorder = AttentionRecorder()
        let text = Array(tokens.values[row * n..<(row + 1) * n])
        let batch = TokenTensor(Array((0..<copies).map { _ in text }.joined()), shape: [copies, n])
        withoutGradients { _ = model(batch, mode: .recording(recorder).using(mode.implementation)) }
        return recorder.layers
    }

    /// The greatest difference of the first row's weights [b, h, rows, columns] before the changed token. Rows of another
    /// number than tokens are those of an answer, the last of the text; without one they stand for no tokens.
    private func difference(_ x: Tensor, _ y: Tensor, _ row: Int) -> Double {
        let first = tokens.shape[1] - x.shape[2]
        guard first == 0 || model.startToken != nil, x.shape.dropFirst() == y.shape.dropFirst() else { return 0 }
        let end = min(places[row] - first, x.shape[2])
        guard end > 0 else { return 0 }
        let pairs = zip(x.at(0, 0).sliced(1, to: end).values, y.at(0, 0).sliced(1, to: end).values)
        return pairs.reduce(0) { max($0, Double(($1.0 - $1.1).magnitude)) }
    }
}
