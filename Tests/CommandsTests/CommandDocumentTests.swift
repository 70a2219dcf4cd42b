import Foundation
import Testing

/// `Docs/commands.md` has the help of every command as it is; `Scripts/document-commands` writes it.
@Suite struct CommandDocumentTests {
    private static let commands = [
        "Train", "Generate", "Evaluate", "Report", "Visualize", "Retrieval", "Compare", "Bench", "Bench machine",
        "Bench kernels", "Bench train", "Bench generate", "Bench projections", "Bench instructions",
    ]

    private static let document: String = {
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return (try? String(contentsOf: package.appendingPathComponent("Docs/commands.md"), encoding: .utf8)) ?? ""
    }()

    @Test("The document has what the command says of itself", arguments: commands)
    func helpIsDocumented(_ command: String) throws {
        let words = command.split(separator: " ").map(String.init)
        let workspace = try Workspace()
        let outcome = try workspace.run(words[0], words.dropFirst() + ["--help"], environment: ["COLUMNS": "80"])
        #expect(outcome.code == 0)
        let help = outcome.output.trimmingCharacters(in: .newlines)
        let block = "<!-- help: \(command) -->\n```\n\(help)\n```\n"
        #expect(
            Self.document.contains(block),
            "Docs/commands.md: not what \(command) --help says; Scripts/document-commands mends it")
    }

    @Test("No other command is documented")
    func everyMarkIsOfACommand() {
        let marks = Self.document.split(separator: "\n").filter { $0.hasPrefix("<!-- help: ") }
        #expect(marks.map { String($0.dropFirst(11).dropLast(4)) }.sorted() == Self.commands.sorted())
    }
}
