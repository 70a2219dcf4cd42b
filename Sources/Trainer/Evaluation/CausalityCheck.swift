import NN
import Tensors

/// A search of a model for logits that see later tokens.
public struct CausalityCheck: Sendable {
    /// Tokens of each sequence, 2 or more, and no more than the model reads at once.
    public var length: Int
    /// Random texts, each of which is read anew.
    public var texts = 3
    /// Tokens that are changed in each text, one at a time, spread over its length.
    public var changes = 8
    /// The key of the texts, the places, and the new tokens.
    public var key = RandomKey(seed: 0)
    /// The form of the model's operations.
    public var implementation = Implementation.fused

    /// Creates a search in texts of this many tokens.
    public init(length: Int) { self.length = length }

    /// The part of the largest logit that a difference may always have: some units in the last place of float32.
    static let leastAllowance = 1e-6
    /// The factor by which a difference may exceed the one that another shape of the batch makes.
    static let timesRounding = 8.0
}

/// The findings of a search for leaks.
public struct CausalityFindings: Sendable, Hashable {
    /// A position whose logits a later token changes.
    public struct Leak: Sendable, Hashable {
        /// The position of the token that was changed.
        public let changed: Int
        /// The earliest position whose logits differ; it lies before `changed`.
        public let seen: Int
        /// The greatest difference before the changed token, in parts of the largest logit.
        public let difference: Double
        /// The first layer whose attention weights of earlier tokens differ; nil where none does.
        public let layer: String?
        /// The last layer that records weights of attention; nil where the model records none.
        public let lastRecorded: String?

        /// The number of tokens that the position sees ahead.
        public var distance: Int { changed - seen }
    }

    /// Tokens changed, in all texts.
    public internal(set) var changes = 0
    /// Changes that a position before them sees.
    public internal(set) var leaks = 0
    /// The greatest difference before a changed token, in parts of the largest logit.
    public internal(set) var difference = 0.0
    /// The greatest difference that counts as rounding, in the same parts.
    public internal(set) var allowance = 0.0
    /// The leak of the first change that a layer shows, or of the first that leaks; nil where none does.
    public internal(set) var first: Leak?
}

extension LanguageModel {
    /// Changes single tokens of random texts and compares the logits of the positions before them with those of the
    /// unchanged text, read in a batch of the same shape: where nothing leaks they have the same bits. A difference is a leak
    /// if it exceeds 1e-6 of the largest logit and eight times the difference that a batch of another shape makes.
    ///
    /// Only what follows the start token is changed in a model that has one.
    /// - Throws: `OptionError` where the model cannot read texts of this length, `InputError` where its logits are not
    ///   finite.
    public func findings(of check: CausalityCheck) throws -> CausalityFindings {
        try requireLength(check)
        var findings = CausalityFindings()
        for text in 0..<check.texts {
            let key = check.key.child(text)
            for rows in batches(of: check.changes, length: check.length) {
                let probe = CausalityProbe(self, check, rows: rows, key: key)
                try probe.add(to: &findings)
            }
        }
        return findings
    }

    private func requireLength(_ check: CausalityCheck) throws {
        let least = startToken == nil ? 2 : 4
        let most = maximumLength ?? .max
        guard (least...max(least, most)).contains(check.length), most >= least else {
            let bound = maximumLength.map { " to \($0), the longest that the model reads at once" } ?? " or more"
            throw OptionError("length", "expected \(least)\(bound), found \(check.length)")
        }
    }

    /// Cuts the changes of a text into batches whose logits take up to a quarter of a gigabyte.
    private func batches(of changes: Int, length: Int) -> [Range<Int>] {
        let rows = max(1, (1 << 26) / max(1, length * vocabularySize))
        return stride(from: 0, to: changes, by: rows).map { $0..<min($0 + rows, changes) }
    }
}
