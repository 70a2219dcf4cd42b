import Tensors

// The bits that the best possible reader needs: the floor under a model's bits per byte.
extension Corpus {
    /// The entropy of the source in bits per byte: expected bits over expected bytes of a sentence, after the first 300
    /// facts (some 30 kB); before them, questions have fewer facts to ask for and a new key more that are free.
    public static let entropyPerByte: Double = {
        let (bits, bytes) = CorpusCosts.shared.expectedSentence
        return bits / bytes
    }()

    /// The exact information in a part of this text, −log₂ of the probability of its sentences given all of the text
    /// before them, in bits per byte.
    /// - Parameter range: a range of bytes; sentences that lie in it as a whole are counted, and nothing else.
    /// - Returns: nil when there are none.
    public func bitsPerByte(in range: Range<Int>) -> Double? {
        var sum = Sum()
        add(sentences(in: range), to: &sum) { CorpusCosts.shared.bits($0.kind, after: Int($0.factsBefore)) }
        return sum.bitsPerByte
    }

    /// The same for a reader that goes through the range in consecutive windows and sees nothing but the window's bytes
    /// before those it has to predict.
    ///
    /// The reader knows the source but not whether the text has just begun, and knows the facts of which it has seen the
    /// sentences. A fact before its window is anybody's guess to it: a question about one costs the key, among those that no
    /// visible fact has, and the place. Nor does it know that a new fact cannot have the keys of those.
    ///
    /// Two things are left out, which matter in short windows and partly make up for each other (in windows of 512 bytes
    /// some 3 % each, from 4096 bytes on less than 1 %): sentences that a window's edge cuts are not counted, nor what it
    /// costs to find out where in a sentence the window begins; and the reader learns nothing from questions, such as that
    /// the same question has the same answer as a moment ago. For the text as one window this is `bitsPerByte(in:)` but
    /// for the first 300 facts, where this reader also expects questions about facts before the text.
    /// - Parameters:
    ///   - range: a range of bytes.
    ///   - windowLength: in bytes. The last window may be shorter.
    /// - Returns: nil when no sentence lies in one window as a whole, as with windows below some 50 bytes.
    public func bitsPerByte(in range: Range<Int>, windowLength: Int) -> Double? {
        require(windowLength > 0, "Corpus.bitsPerByte: the windows' length must be positive, found \(windowLength)")
        var sum = Sum()
        for start in stride(from: range.lowerBound, to: range.upperBound, by: windowLength) {
            let window = sentences(in: start..<min(start + windowLength, range.upperBound))
            guard let first = window.first else { continue }
            add(window, to: &sum) {
                CorpusCosts.shared.bits($0.kind, seeing: Int($0.factsBefore - first.factsBefore))
            }
        }
        return sum.bitsPerByte
    }

    private struct Sum {
        var bits = 0.0
        var bytes = 0

        var bitsPerByte: Double? { bytes > 0 ? bits / Double(bytes) : nil }
    }

    private func add(
        _ part: ArraySlice<CorpusSentence>, to sum: inout Sum, bits: (CorpusSentence) -> Double
    ) {
        guard let last = part.last else { return }
        for sentence in part { sum.bits += bits(sentence) }
        sum.bytes += Int(last.end) - start(of: part.startIndex)
    }

    /// The sentences that lie in a range of bytes as a whole.
    private func sentences(in range: Range<Int>) -> ArraySlice<CorpusSentence> {
        require(
            range.lowerBound >= 0 && range.upperBound <= text.count,
            "Corpus.bitsPerByte: bytes \(range) of a text of \(text.count)")
        // A sentence begins at or behind a place when the one before ends there or behind.
        let first =
            range.lowerBound == 0 ? 0 : sentences.partitioningIndex { Int($0.end) >= range.lowerBound } + 1
        let end = sentences.partitioningIndex { Int($0.end) > range.upperBound }
        return sentences[min(first, end)..<end]
    }

    private func start(of index: Int) -> Int { index == 0 ? 0 : Int(sentences[index - 1].end) }
}
