import Foundation

/// The information in the sentences of the built-in corpus, in bits: −log₂ of the probability of the choices made.
struct CorpusCosts: Sendable {
    /// The bits of a sentence being a fact, a filler, or a question, once there is a fact.
    private let kindBits: (fact: Double, filler: Double, question: Double)
    /// The bits saved on a fact or a filler while there are no questions yet.
    private let noQuestionBits: Double
    /// The bits of a key that is none of n known ones, for n from 0 to the furthest fact.
    private let keyBits: [Double]
    private let placeBits: Double
    /// The bits of the choice of a filler, and of its words.
    private let fillerBits: [Double]
    /// The probability of asking for the m-th fact back, at m; 0 at 0.
    private let factsBack: [Double]
    /// The probability of asking for one of the last n facts, at n.
    private let within: [Double]
    /// The probability of asking for one before the last n facts, at n.
    private let beyond: [Double]

    static let shared = CorpusCosts()

    private init() {
        typealias Grammar = CorpusGrammar
        func bits(_ weight: Int) -> Double { -log2(Double(weight) / Double(Grammar.kindWeights)) }
        kindBits = (bits(Grammar.factWeight), bits(Grammar.fillerWeight), bits(Grammar.questionWeight))
        noQuestionBits = bits(Grammar.kindWeights - Grammar.questionWeight)
        keyBits = (0...Grammar.furthestFact).map { log2(Double(Grammar.keyCount - $0)) }
        placeBits = log2(Double(Grammar.placeCount))
        fillerBits = Grammar.fillers.map { log2(Double(Grammar.fillers.count)) + $0.entropy }
        factsBack =
            [0]
            + Grammar.factsBack.flatMap { range, weight in
                range.map { _ in Double(weight) / Double(Grammar.factsBackWeights * range.count) }
            }
        within = factsBack.reduce(into: []) { $0.append(($0.last ?? 0) + $1) }
        beyond = factsBack.indices.map { [factsBack] n in factsBack[(n + 1)...].reduce(0, +) }
    }

    /// To one who has read all of the text so far.
    /// - Parameter facts: the number of facts in it.
    func bits(_ kind: CorpusSentence.Kind, after facts: Int) -> Double {
        let facts = min(facts, CorpusGrammar.furthestFact)
        let certainty = facts == 0 ? noQuestionBits : 0
        return switch kind {
        case .fact: kindBits.fact - certainty + keyBits[facts] + placeBits
        case .filler(let shape): kindBits.filler - certainty + fillerBits[Int(shape)]
        case .question(let m): kindBits.question - log2(factsBack[Int(m)] / within[facts])
        }
    }

    /// To one who knows the source but has seen the last `facts` facts only; how many there were before is unknown to it.
    func bits(_ kind: CorpusSentence.Kind, seeing facts: Int) -> Double {
        let facts = min(facts, CorpusGrammar.furthestFact)
        return switch kind {
        case .fact: kindBits.fact + keyBits[facts] + placeBits
        case .filler(let shape): kindBits.filler + fillerBits[Int(shape)]
        case .question(let m) where m <= facts: kindBits.question - log2(factsBack[Int(m)])
        case .question: kindBits.question - log2(beyond[facts]) + keyBits[facts] + placeBits
        }
    }

    /// The expected bits and bytes of a sentence of the stationary source, which a text is after its first facts.
    var expectedSentence: (bits: Double, bytes: Double) {
        typealias Grammar = CorpusGrammar
        let fillerCount = Double(Grammar.fillers.count)
        let askedBits = factsBack.dropFirst().reduce(0.0) { $0 - $1 * log2($1) }
        let kinds: [(weight: Int, bits: Double, bytes: Double)] = [
            (Grammar.factWeight, kindBits.fact + keyBits.last! + placeBits, Grammar.fact.expectedLength),
            (
                Grammar.fillerWeight, kindBits.filler + fillerBits.reduce(0, +) / fillerCount,
                Grammar.fillers.reduce(0) { $0 + $1.expectedLength } / fillerCount
            ),
            // By symmetry the key of a fact is as likely as any other, whichever fact is asked for.
            (Grammar.questionWeight, kindBits.question + askedBits, Grammar.question.expectedLength),
        ]
        func expectation(_ value: (Int) -> Double) -> Double {
            kinds.indices.reduce(0) { $0 + Double(kinds[$1].weight) * value($1) } / Double(Grammar.kindWeights)
        }
        return (expectation { kinds[$0].bits }, expectation { kinds[$0].bytes })
    }
}
