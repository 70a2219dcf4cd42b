// Our side of Scripts/check-tokenizers. Texts come as records: a length of 32 bits, the low byte first, and as many bytes.
//     encode TOKENIZER TEXTS TOKENS DECODED   tokens as records of 32 bits each, and the decoded texts
//     train TEXT SIZE TOKENIZER               byte-level BPE
//     time TOKENIZER TEXT                     MB/s of encoding on one thread, the first time and with a filled cache
import AttentionZooTokenizers
import Foundation

func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }

func littleEndian(_ number: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }

func records(_ bytes: [UInt8]) -> [[UInt8]] {
    var (records, position): ([[UInt8]], Int) = ([], 0)
    while position < bytes.count {
        let length = (0..<4).reduce(0) { $0 | Int(bytes[position + $1]) << (8 * $1) }
        records.append(Array(bytes[position + 4..<position + 4 + length]))
        position += 4 + length
    }
    return records
}

func encode(_ arguments: [String]) throws {
    let tokenizer = try SubwordTokenizer(contentsOf: URL(filePath: arguments[0]))
    var (tokens, decoded): ([UInt8], [UInt8]) = ([], [])
    for text in records(try read(arguments[1])) {
        let ids = tokenizer.encode(bytes: text)
        tokens += littleEndian(ids.count) + ids.flatMap(littleEndian)
        let again = Array(tokenizer.decode(ids).utf8)
        decoded += littleEndian(again.count) + again
    }
    try Data(tokens).write(to: URL(filePath: arguments[2]))
    try Data(decoded).write(to: URL(filePath: arguments[3]))
}

func train(_ arguments: [String]) throws {
    let trainer = BPETrainer(vocabularySize: Int(arguments[1])!)
    try trainer.train(bytes: read(arguments[0])).write(to: URL(filePath: arguments[2]))
}

func time(_ arguments: [String]) throws {
    let tokenizer = try SubwordTokenizer(contentsOf: URL(filePath: arguments[0]))
    let text = try read(arguments[1])
    for pass in ["first", "cached"] {
        var count = 0
        let seconds = ContinuousClock().measure { count = tokenizer.encode(bytes: text).count } / .seconds(1)
        print("\(pass): \(count) tokens, \(String(format: "%.1f", Double(text.count) / 1e6 / seconds)) MB/s")
    }
}

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    switch (arguments.first, arguments.count) {
    case ("encode", 5): try encode(Array(arguments.dropFirst()))
    case ("train", 4): try train(Array(arguments.dropFirst()))
    case ("time", 3): try time(Array(arguments.dropFirst()))
    default: throw TokenizerError("expected encode, train or time with their files")
    }
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit(1)
}
