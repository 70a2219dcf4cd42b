import Foundation
import ModelZoo

/// A text of a comparison: its name, where it comes from, and its two parts.
package struct ComparedText: Sendable {
    /// The value of `--data` for the built-in corpus.
    package static let corpus = "corpus"

    /// The file's name without its folder, or `corpus`.
    package let name: String
    let origin: RunOrigin
    let split: DataSplit
    /// The checksum of the tokens trained on, and of those held out.
    let checksum: String

    /// - Parameter path: of a file, or `corpus`.
    /// - Throws: `InputError` that names the file which cannot be read or is too short.
    package init(_ path: String, sequenceLength: Int) throws {
        let path = try lastingName("--data", path)
        if path == Self.corpus {
            name = Self.corpus
            let options = CorpusOptions()
            origin = RunOrigin(corpus: options)
            split = try DataSplit(options, tokenizer: ByteTokenizer(), sequenceLength: sequenceLength)
        } else {
            name = URL(fileURLWithPath: path).lastPathComponent
            guard name != Self.corpus else {
                throw InputError("--data \(path): expected another name, as \(name) is the built-in corpus")
            }
            origin = RunOrigin(data: [path.absolutePath])
            split = try DataSplit(
                ByteTokenizer().tokens(of: TextSource(path: path)), validationFraction: origin.validationFraction,
                sequenceLength: sequenceLength)
        }
        checksum = try [split.training, split.validation].compactMap { try $0?.fingerprint() }.joined(separator: "-")
    }
}
