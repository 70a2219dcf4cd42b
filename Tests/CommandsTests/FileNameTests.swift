import Foundation
import ModelZoo
import Testing

@testable import AttentionZooCommands

/// Names of files and folders as they come: not UTF-8, or as long as the file system allows.
@Suite struct FileNameTests {
    let workspace = try! Workspace()

    /// Runs a script that names its programs itself.
    private func shell(_ script: String) throws -> Outcome { try workspace.shell(script, "Train") }

    private var products: String { Workspace.products.path }

    private func training(_ arguments: String) throws -> String {
        let config = try workspace.configuration()
        return "\(products)/Train --model flash --config \(config) --sequence-length 16 --batch-size 2 --sample-every 0"
            + " --threads 1 \(arguments)"
    }

    @Test("A run whose texts and folder have names in Latin-1 is trained, resumed, evaluated and reported")
    func namesInLatin1() throws {
        let text = try workspace.text()
        let outcome = try shell(
            """
            n=$(printf 'caf\\351')
            mkdir "$n" "$n/d\\200eep"
            cp \(text) "$n/$n.txt"
            cp \(text) "$n/d\\200eep/plain.txt"
            \(training("--data \"$n\" --steps 2 --out \"run-$n\""))
            \(products)/Train --resume "run-$n" --steps 3
            \(products)/Evaluate --run "run-$n" --data "$n/$n.txt" --json
            \(products)/Report --runs "run-$n"
            ls "run-$n/report.html" "run-$n/weights.safetensors" > /dev/null
            """)
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect(outcome.error == "")
        #expect(outcome.output.contains("\"bits_per_byte\": "))
        #expect(outcome.output.contains("step 3/3"))
    }

    @Test("Weights, configuration, batch and output may have names in Latin-1")
    func foreignFiles() throws {
        let source = try workspace.foreign()
        var writer = SafetensorsWriter()
        for name in ["tokens", "targets"] { try writer.add(name, TokenTensor([1, 2, 3], shape: [1, 3])) }
        try writer.write(to: workspace.path("batch"))
        let outcome = try shell(
            """
            n=$(printf '\\377\\376 \\351')
            mkdir "$n"
            cp \(source.weights!) "$n/model.safetensors"; cp \(source.config!) "$n/$n.json"; cp batch "$n/$n"
            \(products)/Evaluate --model flash --config "$n/$n.json" --weights "$n" --batch "$n/$n" --output "$n/out-$n"
            cmp -n 8 "$n/out-$n" "$n/out-$n"
            """)
        #expect(outcome.code == 0 && outcome.error == "", "\(outcome.error)")
    }

    @Test("Names of 255 bytes are written and read")
    func longNames() throws {
        let source = try workspace.foreign()
        let name = String(repeating: "n", count: 255)
        let text = try workspace.text(name)
        var writer = SafetensorsWriter()
        for name in ["tokens", "targets"] { try writer.add(name, TokenTensor([1, 2, 3], shape: [1, 3])) }
        try writer.write(to: workspace.path("batch"))
        let output = workspace.path(String(repeating: "o", count: 255))
        try EvaluateCommand(source: source, batch: workspace.path("batch"), output: output).run(print: { _ in })
        #expect(try SafetensorsFile(path: output).names.count == 2)
        let run = workspace.path(String(repeating: "r", count: 255))
        var command = try workspace.tinyTraining("run", steps: 1)
        (command.data, command.out) = ([text], run)
        try command.lines()
        #expect(try RunFolder(path: run).configuration().origin.data == [text])
    }
}
