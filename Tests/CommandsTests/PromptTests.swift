import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

@Suite("Prompts and continuations, byte by byte") struct PromptTests {
    let workspace = try! Workspace()
    private let options = ["--length", "40", "--temperature", "2", "--seed", "5"]
    private let sampling = SamplingOptions(temperature: 2, seed: 5)

    /// The arguments of a model of bytes, of random weights.
    private func source() throws -> [String] {
        let source = try workspace.foreign()
        return ["--model", source.model!, "--config", source.config!, "--weights", source.weights!]
    }

    /// Returns that model's text after a prompt, by the library.
    private func answer(to prompt: [UInt8]) throws -> [UInt8] {
        let model = try Zoo.architecture("flash").makeModel(
            JSONValue(parsing: workspace.read("foreign.json"), file: "foreign.json"), file: "foreign.json",
            key: RandomKey(seed: 3))
        return try model.generate(bytes: prompt, length: 40, tokenizer: ByteTokenizer(), sampling: sampling)
    }

    @Test(
        "A prompt from a file, a pipe or standard input is read as the bytes it is, and so is the answer written",
        arguments: [
            Array("the zoo".utf8), [0xE9, 0x74, 0xE9], [0x00, 0xFF, 0x0A], Array("line\r\nline\n".utf8),
            (0...255).map { UInt8($0) }, [UInt8](repeating: 0x80, count: 5000),
        ] as [[UInt8]])
    func bytes(prompt: [UInt8]) throws {
        try Data(prompt).write(to: URL(fileURLWithPath: workspace.path("prompt")))
        let arguments = try source() + options
        let expected = try Data(answer(to: prompt))
        for command in [
            "\"$0\" \"$@\" --prompt-file prompt", "\"$0\" \"$@\" < prompt", "cat prompt | \"$0\" \"$@\"",
            "mkfifo fifo; cat prompt > fifo & exec 3< fifo; \"$0\" \"$@\" --prompt-file /dev/fd/3; rm fifo",
        ] {
            let outcome = try workspace.shell(command, "Generate", arguments)
            #expect(outcome.code == 0 && outcome.error == "", "\(command): \(outcome.error)")
            #expect(try workspace.read("out") == expected, "\(command)")
        }
    }

    @Test("On a terminal bytes that are no UTF-8 are shown as U+FFFD, and a newline ends the output")
    func terminal() throws {
        let terminal = try PseudoTerminal()
        try terminal.run(workspace.process("Generate", source() + options + ["--prompt", "zoo"]))
        let shown = terminal.read()
        let expected = try String(decoding: answer(to: Array("zoo".utf8)), as: UTF8.self)
        #expect(expected.contains("\u{FFFD}"))
        #expect(shown == expected.replacing("\n", with: "\r\n") + "\r\n")
    }

    @Test("A prompt may begin with a dash", arguments: ["- Hello", "--length", "-", "-1"])
    func dashes(prompt: String) throws {
        let outcome = try workspace.run("Generate", source() + options + ["--prompt", prompt])
        #expect(outcome.code == 0 && outcome.error == "")
        #expect(try workspace.read("out") == Data(answer(to: Array(prompt.utf8))))
    }

    private static let empty =
        "the prompt is empty; expected --prompt TEXT, --prompt-file FILE, or text on standard input"

    @Test(
        "What is no prompt is named in one line",
        arguments: [
            ("\"$0\" \"$@\" <&-", empty), ("\"$0\" \"$@\" < /dev/null", empty),
            ("\"$0\" \"$@\" < .", "standard input: is a folder; expected a prompt"),
            ("\"$0\" \"$@\" < /dev/zero", "standard input: has more than 67108864 bytes; expected a prompt"),
            ("yes | \"$0\" \"$@\"", "standard input: has more than 67108864 bytes; expected a prompt"),
            ("\"$0\" \"$@\" --prompt-file .", ".: is a folder; expected a prompt"),
            ("\"$0\" \"$@\" --prompt-file none", "none: cannot be read: No such file or directory"),
            ("\"$0\" \"$@\" --prompt-file ''", "--prompt-file is empty; expected a file"),
            ("> nothing; \"$0\" \"$@\" --prompt-file nothing", "nothing: is empty; expected a prompt"),
            (
                "mkfifo pipe; \"$0\" \"$@\" --prompt-file pipe",
                "pipe: is a pipe into which nobody writes; expected a prompt"
            ),
            ("\"$0\" \"$@\" --prompt-file /dev/zero", "/dev/zero: has more than 67108864 bytes; expected a prompt"),
            (
                "\"$0\" \"$@\" --prompt x --prompt-file y",
                "--prompt-file: cannot be combined with --prompt; expected one of the two"
            ),
        ])
    func noPrompts(command: String, message: String) throws {
        let outcome = try workspace.shell(command, "Generate", source() + options)
        #expect(outcome.reason == .exit && outcome.code == 1)
        #expect(outcome.error == "error: \(message)\n")
        #expect(outcome.output == "")
    }

    @Test("A prompt that is no UTF-8 is refused by a model of characters")
    func characters() throws {
        var training = try workspace.tinyTraining("run")
        training.tokenizer = "characters"
        try training.lines()
        try Data([0x74, 0xE9]).write(to: URL(fileURLWithPath: workspace.path("prompt")))
        let outcome = try workspace.shell("\"$0\" --run run < prompt", "Generate")
        #expect(outcome.code == 1)
        #expect(outcome.error == "error: the text is not valid UTF-8, which the tokenizer (characters) needs\n")
    }

    @Test(
        "Names that are empty or missing are asked for before a prompt is read",
        arguments: [
            (["--run", ""], "--run is empty"), ([], "--model is missing"), (["--model", ""], "--model is empty"),
            (["--model", "flash", "--config", "", "--weights", "w"], "--config is empty"),
            (["--model", "flash", "--config", "c", "--weights", ""], "--weights is empty"),
        ] as [([String], String)])
    func missingNames(arguments: [String], problem: String) throws {
        // Nobody writes to this prompt.
        let outcome = try workspace.shell("mkfifo pipe; exec 3<> pipe; \"$0\" \"$@\" <&3", "Generate", arguments)
        #expect(outcome.code == 1)
        #expect(
            outcome.error
                == "error: \(problem); expected --run FOLDER, or --model ID --config FILE --weights FILE\n")
    }

    // MARK: Stop texts

    @Test("A stop text ends the output and is not written; several may be given")
    func stops() throws {
        let arguments = try source() + options + ["--prompt", "zoo"]
        let answer = try answer(to: Array("zoo".utf8))
        func output(_ stops: [String]) throws -> Data {
            let outcome = try workspace.run("Generate", arguments + stops.flatMap { ["--stop", $0] })
            #expect(outcome.code == 0 && outcome.error == "")
            return try workspace.read("out")
        }
        #expect(try output([]) == Data(answer))
        let byte = answer[20]
        let end = try #require(answer.firstIndex(of: byte))
        #expect(try output(["byte:\(byte)"]) == Data(answer[..<end]))
        #expect(try output(["never comes up at all", "byte:0x" + String(byte, radix: 16)]) == Data(answer[..<end]))
        // A text of what is letters among random bytes.
        let place = try #require(answer.indices.first { (0x20..<0x7F).contains(answer[$0]) })
        let letter = String(UnicodeScalar(answer[place]))
        #expect(try output([letter]) == Data(answer[..<answer.firstIndex(of: answer[place])!]))
    }

    @Test(
        "What is no stop text is refused",
        arguments: [
            ("", "--stop: expected TEXT or byte:N, found an empty text"),
            (
                "byte:256",
                "--stop: expected TEXT or byte:N with N from 0 to 255, 0x00 to 0xff, or one of \\n \\r \\t \\0, found"
                    + " \"byte:256\""
            ),
            (
                "byte:",
                "--stop: expected TEXT or byte:N with N from 0 to 255, 0x00 to 0xff, or one of \\n \\r \\t \\0, found"
                    + " \"byte:\""
            ),
        ])
    func noStops(stop: String, message: String) throws {
        expectError(message) {
            try GenerateCommand(source: workspace.foreign(), prompt: "x", stop: [stop]).run { _ in }
        }
    }

    @Test("A run that was trained on documents ends with its document; one that was not goes on")
    func documents() throws {
        for (name, separator) in [("plain", nil), ("lines", "lines"), ("stops", "byte:0x2E")] as [(String, String?)] {
            var training = try workspace.tinyTraining(name)
            training.documents = separator
            try training.lines()
        }
        func text(_ run: String, _ stop: [String] = []) throws -> [UInt8] {
            var all: [UInt8] = []
            try GenerateCommand(
                source: ModelSource(run: workspace.path(run)), prompt: "the zoo", length: 2000, stop: stop,
                sampling: SamplingOptions(temperature: 3, seed: 1)
            ).runForBytes { all += $0 }
            return all
        }
        let plain = try text("plain")
        #expect(plain.count == 2000 && plain.contains(10) && plain.contains(0x2E))
        for (run, marker) in [("lines", 10), ("stops", 0x2E)] as [(String, UInt8)] {
            let found = try text(run)
            #expect(found.count < 2000 && !found.contains(marker))
            // A stop text may come before.
            let byte = try #require(found.first)
            #expect(try text(run, ["byte:\(byte)"]) == [])
        }
        #expect(try text("plain", ["byte:10"]) == Array(plain.prefix { $0 != 10 }))
    }

    @Test("A stop text of characters that the tokenizer does not have is refused")
    func stopsOfOtherCharacters() throws {
        var training = try workspace.tinyTraining("run")
        training.tokenizer = "characters"
        try training.lines()
        let source = ModelSource(run: workspace.path("run"))
        let count = try Set(String(decoding: workspace.read("text.txt"), as: UTF8.self)).count
        expectError(
            naming: "--stop é", "position 1", "\"é\" (U+00E9)", "\(count)"
        ) { try GenerateCommand(source: source, prompt: "the", stop: ["é"]).run { _ in } }
        var text = ""
        try GenerateCommand(source: source, prompt: "the", length: 200, stop: ["byte:\\n", " "]).run { text += $0 }
        #expect(!text.contains(" ") && !text.contains("\n"))
    }
}
