import CLibFuzzer
import Foundation
import InputSupport

// usage: Fuzz --list                      the names of the readers, one a line
//        Fuzz READER --samples FOLDER     writes the inputs to begin with to a folder, and the format's words to FOLDER.dict
//        Fuzz READER [libFuzzer's arguments]

@main
struct Fuzz {
    /// Set before the first input; libFuzzer calls from this thread only.
    nonisolated(unsafe) static var reader: InputReader?

    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments.first == "--list" { return print(InputReader.names.joined(separator: "\n")) }
        guard let name = arguments.first, let reader = try InputReader.make(name) else {
            let found = arguments.first.map { "found \"\($0)\"" } ?? "found nothing"
            fail("expected a reader (\(InputReader.names.joined(separator: ", "))), \(found)")
        }
        if arguments.dropFirst().first == "--samples", let folder = arguments.dropFirst(2).first {
            return try writeSamples(of: reader, to: folder)
        }
        self.reader = reader
        runDriver(withoutReader: arguments.dropFirst())
    }

    private static func fail(_ message: String) -> Never {
        FileHandle.standardError.write(Data("Fuzz: \(message)\n".utf8))
        exit(2)
    }

    private static func writeSamples(of reader: InputReader, to folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for (name, bytes) in reader.valid.merging(reader.doubtful, uniquingKeysWith: { first, _ in first }) {
            try Data(bytes).write(to: URL(fileURLWithPath: folder + "/sample-" + name))
        }
        try Data(dictionary(reader.words).utf8).write(to: URL(fileURLWithPath: folder + ".dict"))
    }

    /// As libFuzzer reads it, which refuses an empty one: a word in quotes a line, all but letters as \xNN.
    private static func dictionary(_ words: [String]) -> String {
        Set(words.filter { !$0.isEmpty } + ["x"]).sorted().map { word in
            let escaped = word.utf8.map { byte in
                let isPlain = Unicode.Scalar(byte).properties.isAlphabetic && byte < 128
                return isPlain ? String(Unicode.Scalar(byte)) : String(format: "\\x%02x", byte)
            }
            return "\"" + escaped.joined() + "\"\n"
        }.joined()
    }

    private static func runDriver(withoutReader arguments: ArraySlice<String>) -> Never {
        var pointers = ([CommandLine.arguments[0]] + arguments).map { strdup($0) } + [nil]
        var count = Int32(pointers.count - 1)
        let status = pointers.withUnsafeMutableBufferPointer { buffer in
            var start = buffer.baseAddress
            return LLVMFuzzerRunDriver(&count, &start) { data, size in
                do {
                    try Fuzz.reader?.check(Array(UnsafeBufferPointer(start: data, count: size)))
                } catch {
                    fatalError("an error of another kind than InputError: \(error)")
                }
                return 0
            }
        }
        exit(status)
    }
}
