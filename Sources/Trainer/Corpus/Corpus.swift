import Tensors

/// A text of any length, written by a seeded generator that knows the probability of every choice it makes: what is
/// trained on when no text is at hand.
///
///     Mira keeps the brass key in Oslo.
///     The grey fox sleeps at noon.
///     On Monday the road was dark.
///     Where does Mira keep the brass key? Mira keeps the brass key in Oslo.
///
/// Facts and fillers are as unpredictable as their words. A question only says how far back the fact is that it asks for,
/// which is anything from the latest to the 300th back, or from tens of bytes to some thirty thousand; its answer, which
/// costs one who remembers the fact no information at all, costs others 4 bits. So the floor under the bits per byte is
/// known exactly, and so is what can be reached with a memory of a given length.
///
/// The same seed gives the same text everywhere; a shorter text is the beginning of a longer one.
public struct Corpus: Sendable {
    /// A question in the text, and the fact that answers it.
    public struct Question: Sendable, Hashable {
        /// The range of the answer in the text: the bytes of the place, without the stop behind it.
        public let answer: Range<Int>
        /// The range of the same place in the fact.
        public let fact: Range<Int>
        /// The number of the fact asked for, the last before the question being 1.
        public let factsBack: Int

        /// From the place in the fact to the answer, in bytes. At least so many a reader must see, or carry along.
        public var distance: Int { answer.lowerBound - fact.lowerBound }
    }

    /// The lengths that a text may have, in bytes.
    public static let lengths = 1...2_000_000_000

    /// The seed that the text is drawn from.
    public let seed: UInt64
    /// The text, ASCII, a sentence a line.
    public let text: TextSource
    /// Its bytes.
    package let bytes: [UInt8]
    /// The questions in the order of the text.
    public let questions: [Question]
    let sentences: [CorpusSentence]

    /// Writes a text.
    /// - Parameter length: in bytes, positive and at most 2 · 10⁹; the text ends with the sentence that reaches it. Takes
    ///   about twice as much memory.
    public init(seed: UInt64, length: Int) {
        require(
            Self.lengths.contains(length),
            "Corpus: the length must be positive and at most \(Self.lengths.upperBound) bytes, found \(length)")
        let writer = CorpusWriter(seed: seed, length: length)
        self.seed = seed
        questions = writer.questions
        sentences = writer.sentences
        bytes = writer.text
        do {
            text = try TextSource(bytes: bytes, name: "the built-in corpus")
        } catch {
            fatalError("Corpus: \(error)")  // only an empty text is refused
        }
    }

    /// The questions whose answers lie in a part of the text as a whole; their facts may lie before it.
    public func questions(in range: Range<Int>) -> ArraySlice<Question> {
        let first = questions.partitioningIndex { $0.answer.lowerBound >= range.lowerBound }
        let end = questions.partitioningIndex { $0.answer.upperBound > range.upperBound }
        return questions[first..<max(first, end)]
    }
}

extension RandomAccessCollection {
    /// The first index whose element fulfils the condition, or the end; all elements behind it must fulfil it as well.
    func partitioningIndex(where belongsBehind: (Element) -> Bool) -> Index {
        var (start, length) = (startIndex, count)
        while length > 0 {
            let half = length / 2
            let middle = index(start, offsetBy: half)
            if belongsBehind(self[middle]) {
                length = half
            } else {
                start = index(after: middle)
                length -= half + 1
            }
        }
        return start
    }
}
