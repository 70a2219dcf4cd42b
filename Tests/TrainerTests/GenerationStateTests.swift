import Foundation
import NN
import Tensors
import Testing

@testable import Trainer

/// A text that is generated in several processes is the text of one.
@Suite struct GenerationStateTests {
    let folder = try! TemporaryFolder()
    let model = Rememberer()
    let tokenizer = ByteTokenizer()

    static let samplings: [SamplingOptions] = [
        .greedy, SamplingOptions(seed: 5), SamplingOptions(temperature: 0.7, topK: 40, seed: 8),
    ]

    var path: String { folder.path + "/state.safetensors" }

    /// Generates a piece as a process of its own would: from the file and to it.
    func piece(_ prompt: String = "", _ length: Int, _ sampling: SamplingOptions, begins: Bool = false) throws -> String
    {
        let model = Rememberer()
        var state = begins ? nil : try model.loadGenerationState(from: path, origin: ["model": "rememberer"])
        let text = try model.generate(prompt, state: &state, length: length, tokenizer: tokenizer, sampling: sampling)
        try model.save(try #require(state), to: path, origin: ["model": "rememberer"])
        return text
    }

    @Test(arguments: samplings, [[20, 20], [1, 38, 1], Array(repeating: 5, count: 8)])
    func piecesMakeTheWhole(_ sampling: SamplingOptions, lengths: [Int]) throws {
        let whole = try model.generate("zoo", length: 40, tokenizer: tokenizer, sampling: sampling)
        var text = ""
        for (index, length) in lengths.enumerated() {
            text += try piece(index == 0 ? "zoo" : "", length, sampling, begins: index == 0)
        }
        let state = try model.loadGenerationState(from: path)
        #expect(text + String(decoding: state.pending, as: UTF8.self) == whole)
        #expect(state.position == 40 && state.unread.count == 1)
        // Another seed, or the draws of another place, would give another text.
        if sampling != .greedy { #expect(try generateAnew(sampling, lengths) != text) }
    }

    /// Each piece drawn as if it were the first.
    private func generateAnew(_ sampling: SamplingOptions, _ lengths: [Int]) throws -> String {
        var state: GenerationState<Rememberer>?
        return try lengths.enumerated().map { index, length in
            state?.position = 0
            return try model.generate(
                index == 0 ? "zoo" : "", state: &state, length: length, tokenizer: tokenizer, sampling: sampling)
        }.joined()
    }

    /// What is said in between is read after all that was generated, the last token included.
    @Test func promptsComeBetween() throws {
        let first = try model.generate([[122, 111]], length: 10, sampling: .greedy)[0]
        let prompt = [122, 111] + first + [97, 98]
        let second = try model.generate([prompt], length: 10, sampling: .greedy)[0]
        var state: GenerationState<Rememberer>?
        try model.generate("zo", state: &state, length: 10, tokenizer: tokenizer, sampling: .greedy)
        // The beginning of a character, which the prompt ends.
        let cut = String(decoding: try #require(state).pending, as: UTF8.self)
        let text = try model.generate("ab", state: &state, length: 10, tokenizer: tokenizer, sampling: .greedy)
        #expect(text + String(decoding: try #require(state).pending, as: UTF8.self) == cut + tokenizer.decode(second))
        #expect(state?.unread == [second[9]])
    }

    @Test func aCharacterIsShownWhenItIsComplete() throws {
        // A model of bytes that answers each byte of "é€😀" with the next one.
        let bytes = Array("é€😀é".utf8)
        let model = Bigram(width: 256)
        var (table, weight) = ([Float](repeating: 0, count: 65536), [Float](repeating: 0, count: 65536))
        for i in 0..<256 { table[i * 257] = 1 }
        for (byte, next) in zip(bytes, bytes.dropFirst()) { weight[Int(next) * 256 + Int(byte)] = 50 }
        model.table.weight.assign(Tensor(table, shape: [256, 256]))
        model.output.weight.assign(Tensor(weight, shape: [256, 256]))
        var state: GenerationState<Bigram>?
        func next(_ prompt: String = "", _ length: Int = 1) throws -> String {
            try model.generate(prompt, state: &state, length: length, tokenizer: tokenizer, sampling: .greedy)
        }
        #expect(try [next("é"), next(), next(), next("", 2), next("", 2)] == ["", "", "€", "", "😀"])
        #expect(try next() == "" && state?.pending == [0xC3])
        // A prompt in the middle of a character: nothing completes it any more.
        #expect(try next("€") == "\u{FFFD}")
    }

    @Test("A prompt that nothing follows is read before it is saved")
    func promptsAreReadAhead() throws {
        let prompt = String(repeating: "the zoo is open ", count: 200)
        let whole = try model.generate(prompt, length: 20, tokenizer: tokenizer, sampling: .greedy)
        var state: GenerationState<Rememberer>?
        try model.generate(prompt, state: &state, length: 0, tokenizer: tokenizer, sampling: .greedy)
        try model.save(try #require(state), to: path)
        var loaded: GenerationState<Rememberer>? = try model.loadGenerationState(from: path)
        #expect(loaded?.unread == [32] && loaded?.position == 0)
        let text = try model.generate(state: &loaded, length: 20, tokenizer: tokenizer, sampling: .greedy)
        #expect(text + String(decoding: try #require(loaded).pending, as: UTF8.self) == whole)
    }

    // MARK: Errors

    @Test func whatCannotBeSavedIsRefused() throws {
        var state: GenerationState<Trigram>?
        let trigram = Trigram()
        try trigram.generate("zoo", state: &state, length: 3, tokenizer: tokenizer)
        let saved = try #require(state)
        expectError("\(path): cannot be written: the model's decoding state cannot be saved") {
            try trigram.save(saved, to: path)
        }
        #expect(!FileManager.default.fileExists(atPath: path))
        expectError("the model's decoding state cannot be saved") {
            try trigram.decodingState(after: Trigram.Carry(token: 1))
        }
        expectError("the prompt is empty; expected at least one token") {
            var state: GenerationState<Trigram>?
            try trigram.generate(state: &state, length: 3, tokenizer: tokenizer)
        }
    }

    @Test func aFileThatDoesNotFitIsNamed() throws {
        _ = try piece("zoo", 3, .greedy, begins: true)
        let original = try SafetensorsFile(path: path)
        func expectRefusal(
            _ message: String, _ model: Rememberer = Rememberer(), origin: [String: String] = [:],
            metadata: [String: String] = [:], without name: String? = nil, entries: [String: TokenTensor] = [:],
            carry: [String: Tensor] = [:], location: SourceLocation = #_sourceLocation
        ) throws {
            var writer = SafetensorsWriter(metadata: original.metadata.merging(metadata) { $1 })
            if let name { writer.metadata[name] = nil }
            for entry in original.names where entries[entry] == nil && carry[entry] == nil && entry != name {
                if entry.hasPrefix("carry/") {
                    try writer.add(entry, original.tensor(entry))
                } else {
                    try writer.add(entry, original.tokens(entry))
                }
            }
            for (entry, tokens) in entries { try writer.add(entry, tokens) }
            for (entry, tensor) in carry { try writer.add(entry, tensor) }
            let other = folder.path + "/other.safetensors"
            try writer.write(to: other)
            expectError("\(other): \(message)", sourceLocation: location) {
                try model.loadGenerationState(from: other, origin: origin)
            }
        }
        try expectRefusal("was saved with the model rememberer; expected the model flash", origin: ["model": "flash"])
        let written = "expected a file that Generate --save-state wrote"
        try expectRefusal("its metadata do not say \"tokenizer\"; \(written)", origin: ["tokenizer": "bytes"])
        try expectRefusal("its metadata do not say \"weights_crc32\"; \(written)", without: "weights_crc32")
        try expectRefusal(
            "metadata \"position\": expected a whole number from 0 to 9007199254740992, found \"-1\"",
            metadata: ["position": "-1"])
        for position in ["9007199254740993", "9223372036854775807", "9223372036854775808", "1e3", "nan"] {
            try expectRefusal(
                "metadata \"position\": expected a whole number from 0 to 9007199254740992, found \"\(position)\"",
                metadata: ["position": position])
        }
        try expectRefusal(
            "\"unread\": expected at most 1024 numbers, found 100000",
            entries: ["unread": TokenTensor([Int32](repeating: 5, count: 100_000))])
        try expectRefusal(
            "\"pending\": expected at most 65539 numbers, found 65540",
            entries: ["pending": TokenTensor([Int32](repeating: 5, count: 65_540))])
        try expectRefusal(
            "has an entry \"other\"; expected carry/…, unread and pending", entries: ["other": TokenTensor([1])])
        try expectRefusal(
            "other: is none of the model's; expected first, last", carry: ["carry/other": Tensor([1])])
        try expectRefusal("last: expected finite numbers, found nan", carry: ["carry/last": Tensor([.nan])])
        try expectRefusal("tensor \"unread\": is not in the file", without: "unread")
        try expectRefusal("tensor \"pending\": is not in the file", without: "pending")
        try expectRefusal(
            "\"unread\": expected numbers from 0 to 255, found 256", entries: ["unread": TokenTensor([3, 256])])
        try expectRefusal(
            "\"unread\": expected one axis, found the shape [1, 1]",
            entries: ["unread": TokenTensor([3], shape: [1, 1])])
        try expectRefusal("a carry without token", without: "carry/last")
        let other = Rememberer()
        other.tables[1].weight.assign(other.tables[1].weight.value.detached() * 1.5)
        let error = #expect(throws: InputError.self) { try other.loadGenerationState(from: path) }
        let crc = try #require(original.metadata["weights_crc32"])
        #expect(error?.message.hasPrefix("\(path): was saved with other weights (checksum \(crc), expected ") ?? false)
        expectError("\(path)x: cannot be read: No such file or directory") {
            try model.loadGenerationState(from: path + "x")
        }
    }
}
