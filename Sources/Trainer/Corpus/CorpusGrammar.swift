import Foundation

/// The source of which the built-in corpus is a sample: what sentences there are and how likely each is.
///
/// A text has one reading only. A sentence ends with its line; its first word tells its kind, as no name is "Where", "The"
/// or "On"; the words of a gap cannot run into what follows, as a space or a stop ends them. And as the last
/// `furthestFact` + 1 facts have different keys, a question says which of them it asks for. So the probability of a text is
/// the product of the probabilities of the choices made in writing it.
enum CorpusGrammar {
    /// A fact is a key, which is a name, a material and an object, and its value, a place.
    static let fact = SentenceShape(
        "_ keeps the _ _ in _.\n", names, "brass clay glass iron paper steel tin wooden",
        "bell cup dish fork key lamp mask ring", places)

    /// Asks for the place of a key, and says the fact again. What is copied from the line itself, and foreseen by any
    /// reader, teaches a model to copy before it can answer: without it, a small model takes far longer to learn that.
    static let question = SentenceShape(
        "Where does _ keep the _ _? _ keeps the _ _ in _.\n", names, "brass clay glass iron paper steel tin wooden",
        "bell cup dish fork key lamp mask ring", names, "brass clay glass iron paper steel tin wooden",
        "bell cup dish fork key lamp mask ring", places)

    /// Fillers, all equally likely.
    static let fillers = [
        SentenceShape(
            "The _ _ _ at _.\n", "old young small big grey white quick lazy", "cat dog fox hen owl pig mouse sheep",
            "sleeps eats waits sings", "dawn noon dusk night"),
        SentenceShape(
            "On _ the _ was _.\n", "Monday Tuesday Wednesday Thursday Friday Saturday Sunday", "sea sky road wind",
            "calm cold dark warm"),
    ]

    // All begin with different letters, so that the first byte decides and the others follow.
    private static let names = "Ada Ben Cleo Dora Emil Finn Gina Hugo Ivan Jana Kai Lena Mira Nils Paul Rosa"
    private static let places =
        "Athens Berlin Cairo Delhi Essen Faro Genoa Hanoi Izmir Kyoto Lima Milan Oslo Paris Rome Tokyo"

    // MARK: Kinds

    /// The kinds of sentences are independent of each other, and as likely as these weights out of their sum; before the
    /// first fact there are no questions, and the others share their part.
    static let factWeight = 3
    static let fillerWeight = 2
    static let questionWeight = 3
    static let kindWeights = factWeight + fillerWeight + questionWeight

    // MARK: Facts

    static let materialCount = fact.lists[1].count
    static let objectCount = fact.lists[2].count
    static let keyCount = fact.lists[0].count * materialCount * objectCount
    static let placeCount = fact.lists[3].count

    /// The words of a key in three gaps of a fact or a question, twice in a question.
    @inline(__always)
    static func word(_ gap: Int, ofKey key: Int) -> Int {
        switch gap % 3 {
        case 0: key / (materialCount * objectCount)
        case 1: key / objectCount % materialCount
        default: key % objectCount
        }
    }

    // MARK: Questions

    /// The facts a question may ask for, the latest being 1, and the weight of each class; within a class all are equally
    /// likely. Classes rather than single numbers, as no reader can count the facts of some kilobytes, but can know that
    /// older ones are asked for more rarely.
    static let factsBack: [(range: ClosedRange<Int>, weight: Int)] = [
        (1...1, 10), (2...3, 4), (4...10, 2), (11...30, 2), (31...100, 1), (101...300, 1),
    ]
    static let factsBackWeights = factsBack.reduce(0) { $0 + $1.weight }

    /// The largest number of facts back that is asked for. A new fact's key is none of the last so many; all others are
    /// equally likely.
    static let furthestFact = factsBack.last!.range.upperBound
}
