import NN
import Tensors

/// The measurements of one step: a line of `metrics.jsonl`.
public struct StepMetrics: Sendable, Equatable {
    /// The step's number, counted from 1.
    public var step: Int
    /// The number of tokens trained on so far; examples where the loss is the program's own.
    public var tokens: Int
    /// Mean cross-entropy a token, in nats, or the loss of the program's own.
    public var loss: Double
    /// Mean cross-entropy in bits a byte of the text; NaN where the program makes the batches.
    public var bitsPerByte: Double
    /// The learning rate of the step.
    public var learningRate: Double
    /// The global norm of the gradients before clipping.
    public var gradientNorm: Double
    /// Tokens, or examples, trained on in a second of the step.
    public var tokensPerSecond: Double
    /// Time spent in training so far.
    public var seconds: Double
    /// Anything else, by its key in the file, such as `validation_loss`.
    public var extra: [String: Double]

    /// Creates the metrics of a step.
    public init(
        step: Int, tokens: Int, loss: Double, bitsPerByte: Double, learningRate: Double, gradientNorm: Double,
        tokensPerSecond: Double, seconds: Double, extra: [String: Double] = [:]
    ) {
        self.step = step
        self.tokens = tokens
        self.loss = loss
        self.bitsPerByte = bitsPerByte
        self.learningRate = learningRate
        self.gradientNorm = gradientNorm
        self.tokensPerSecond = tokensPerSecond
        self.seconds = seconds
        self.extra = extra
    }
}

extension StepMetrics {
    /// The numbers with a place of their own, in the order of the file.
    private static let columns: [(key: String, path: WritableKeyPath<StepMetrics, Double> & Sendable)] = [
        ("loss", \.loss), ("bits_per_byte", \.bitsPerByte), ("learning_rate", \.learningRate),
        ("gradient_norm", \.gradientNorm), ("tokens_per_second", \.tokensPerSecond), ("seconds", \.seconds),
    ]

    /// The line without its newline.
    var line: String {
        let named = Self.columns.map { ($0.key, self[keyPath: $0.path]) }
        let numbers = (named + extra.sorted { $0.key < $1.key }).map { key, value in
            "\(JSONValue.quoted(key)):\(JSONValue.number(value))"
        }
        return "{\"step\":\(step),\"tokens\":\(tokens)," + numbers.joined(separator: ",") + "}"
    }

    /// Reads a line.
    /// - Parameter place: file and line number, for messages.
    init(line: some Sequence<UInt8>, place: String) throws {
        var members = try JSONValue(parsingLine: line, place: place).objectValue ?? [:]
        func take<Value>(_ key: String, _ expected: String, _ value: (JSONValue) -> Value?) throws -> Value {
            guard let found = members.removeValue(forKey: key) else {
                throw InputError("\(place): \"\(key)\" is missing; expected \(expected)")
            }
            guard let value = value(found) else {
                throw InputError("\(place): \"\(key)\": expected \(expected), found \(found)")
            }
            return value
        }
        func whole(_ key: String, _ range: ClosedRange<Int>) throws -> Int {
            let value = try take(key, "a whole number", \.intValue)
            guard range.contains(value) else {
                throw InputError(
                    "\(place): \"\(key)\": expected a whole number from 0 to \(range.upperBound), found \(value)")
            }
            return value
        }
        func number(_ value: JSONValue) -> Double? { value == .null ? .nan : value.doubleValue }
        self.init(
            step: try whole("step", 0...TrainingOptions.mostSteps), tokens: try whole("tokens", 0...Int.max),
            loss: .nan, bitsPerByte: .nan, learningRate: .nan, gradientNorm: .nan, tokensPerSecond: .nan, seconds: .nan)
        for (key, path) in Self.columns { self[keyPath: path] = try take(key, "a number or null", number) }
        for key in members.keys.sorted() { extra[key] = try take(key, "a number or null", number) }
    }
}
