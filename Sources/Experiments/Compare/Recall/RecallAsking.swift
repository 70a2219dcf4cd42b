import ModelZoo

extension LanguageModel {
    /// Asks the questions of sequences that have equally many places to foresee: for each sequence and question, whether the
    /// model holds every token of the answer for the likeliest. Each of them is foreseen from the true tokens before it.
    ///
    /// The sequences are read as if to continue them, so that they may be longer than those of a training.
    /// - Parameter stop: asked before each piece that is read.
    /// - Returns: nil where stopped.
    func answers(to sequences: [RecallSequence], stop: () -> Bool = { false }) -> [[Bool]]? {
        let cuts = sequences.map { $0.questions.flatMap { Array($0.places) } }
        require(Set(cuts.map(\.count)).count == 1, "answers: sequences with unequal numbers of places")
        var states = sequences.map { _ in Optional(startDecoding()) }
        var read = sequences.map { _ in 0 }
        var foreseen = sequences.map { _ in [Int32]() }
        for index in cuts[0].indices {
            var logits: Tensor?
            // All rows reach their next place in the last of equally many pieces.
            let ends = cuts.map { $0[index] + 1 }
            let longest = zip(ends, read).map { $0 - $1 }.max()!
            let pieces = (longest * sequences.count + pieceTokens - 1) / pieceTokens
            for piece in 1...pieces {
                if stop() { return nil }
                let until = sequences.indices.map { read[$0] + (ends[$0] - read[$0]) * piece / pieces }
                let from = sequences.indices.map { read[$0] + (ends[$0] - read[$0]) * (piece - 1) / pieces }
                let rows = sequences.indices.filter { from[$0] < until[$0] }
                var part = rows.map { states[$0]! }
                for row in rows { states[row] = nil }  // one owner, so that they are written in place
                logits = decode(rows.map { Array(sequences[$0].tokens[from[$0]..<until[$0]]) }, states: &part)
                for (row, state) in zip(rows, part) { states[row] = state }
            }
            read = ends
            for (row, token) in logits!.argmax().values.enumerated() { foreseen[row].append(token) }
        }
        return zip(sequences, foreseen).map { sequence, foreseen in
            var first = 0
            return sequence.questions.map { question in
                defer { first += question.answer.count }
                return foreseen[first..<first + question.answer.count].elementsEqual(question.answer)
            }
        }
    }

    /// The number of tokens read at once, which bounds the memory that reading takes.
    private var pieceTokens: Int { 8192 }
}
